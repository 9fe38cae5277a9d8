//! Replicas are replaced one after the other under load, and nobody notices.

use std::collections::HashSet;
use std::time::Instant;

use e2e::{Load, Replicas, block_on, siege_report};

#[test]
fn replacing_the_replicas_one_by_one_fails_no_request() {
    block_on(async {
        // On a machine that is short of processors a withdrawal may be slow, but is not to be given up.
        let patience = [("FORFEIT_ATTEMPT_TIMEOUT_MS", "3000"), ("FORFEIT_TIMEOUT_MS", "8000")];
        let mut replicas = Replicas::start(&patience.map(|(name, ms)| ("member", name, ms))).await;
        replicas.scale_out().await;
        let is_long = std::env::var_os("LONG").is_some();
        let (load, start) = (Load::start(&[replicas.proxy.client()], 1), Instant::now());

        for _ in 0..if is_long { 3 } else { 1 } {
            for (server, process) in replicas.all().skip(if is_long { 0 } else { 4 }) {
                replicas.replace(&server, process).await;
            }
        }
        let log = load.stop().await;

        println!("{}", siege_report(&log.seen, start.elapsed()));
        let failed: Vec<_> = log.seen.iter().filter(|seen| !seen.is_served()).collect();
        assert!(failed.is_empty(), "{} failed, such as {:?}", failed.len(), &failed[..failed.len().min(3)]);
        for what in ["POST /members", "PATCH /points", "GET /members", "GET /mypages"] {
            let served = if what == "POST /members" { 201 } else { 200 };
            assert!(log.count(what, Some(served)) > 20, "{what}: {}", log.count(what, Some(served)));
        }
        replicas.world.assert_books_are_right(&log.sent).await;
        assert_published_once(&replicas).await;
        replicas.stop().await;
    });
}

/// Consumers would forgive a second time; handing over properly needs no forgiveness.
async fn assert_published_once(replicas: &Replicas) {
    for topic in ["member", "message", "point"] {
        let records = replicas.world.topics.read(topic).await;
        let ids: HashSet<_> = records.iter().map(|record| record.header("ce_id")).collect();
        assert_eq!(ids.len(), records.len(), "an event is twice on {topic}");
    }
}
