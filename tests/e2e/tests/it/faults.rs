//! Parts fail while customers come and go: nothing that was answered is lost, and nothing happens twice.

use std::sync::Arc;
use std::time::Duration;

use e2e::{Client, Fate, Load, SERVICES, Sent, World, WorldOptions, block_on, noticed_soon};
use local_stack::kafka::{Kafka, KafkaOptions};
use local_stack::postgres::{Postgres, PostgresOptions};
use local_stack::service::ServiceProcess;

/// How long a part stays away: a minute with LONG=1.
fn outage() -> Duration {
    Duration::from_secs(if std::env::var_os("LONG").is_some() { 60 } else { 5 })
}

async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
}

fn assert_all_run(world: &World, pids: &[Option<u32>]) {
    let now: Vec<_> = world.services.all().iter().map(|service| service.pid()).collect();
    assert_eq!(now, pids, "no process ended");
}

fn pids(world: &World) -> Vec<Option<u32>> {
    world.services.all().iter().map(|service| service.pid()).collect()
}

#[test]
fn the_books_tell_what_is_wrong_with_them() {
    block_on(async {
        let world = World::start().await;
        world.client.join_and_be_granted(1).await;
        assert_eq!(world.client.change_points(1, 5).await.status, 200);
        world.client.until("/mypages/1", 200, serde_json::json!({ "remainPoint": 1_005 })).await;
        let sent = |amount, fate| Sent { member_id: 1, amount, fate };
        assert_eq!(world.violations(&[sent(5, Fate::Done)]).await, Vec::<String>::new());
        assert_eq!(world.violations(&[sent(5, Fate::Unknown), sent(6, Fate::Unknown)]).await.len(), 0);
        for lie in [vec![], vec![sent(5, Fate::Refused)], vec![sent(5, Fate::Done), sent(6, Fate::Done)]] {
            assert_eq!(world.violations(&lie).await.len(), 1, "{lie:?}");
        }

        for harm in [
            "UPDATE point.account SET balance = balance + 1",
            "UPDATE mypage.page SET remain_point = 1",
            "UPDATE member.member SET status = 'ABNORMAL'",
            "DELETE FROM member.member",
            "DELETE FROM mypage.page",
            "INSERT INTO point.ledger_entry (membership_id, type, amount, balance_after, actor, occurred_at)
             SELECT membership_id, 'EARN', 5, 1010, 'x', now() FROM point.account",
            "UPDATE point.ledger_entry SET balance_after = 7 WHERE amount = 5",
            "UPDATE message.message SET status = 'QUEUED'",
            "UPDATE point.lot SET remaining = remaining - 1",
            "DELETE FROM point.lot_movement",
        ] {
            assert_ne!(world.violations_after(harm, &[sent(5, Fate::Done)]).await.len(), 0, "{harm}");
        }
        world.stop().await;
    });
}

#[test]
fn the_broker_is_killed_during_load_and_joining_goes_on() {
    block_on(async {
        let kafka = Kafka::start(KafkaOptions::default()).await.expect("Kafka starts");
        let brokers = Some(kafka.brokers());
        let world = World::start_with(WorldOptions { brokers, ..Default::default() }).await;
        let pids = pids(&world);
        let load = Load::start(std::slice::from_ref(&world.client), 1);
        pass(Duration::from_secs(2)).await;

        kafka.kill().await;
        pass(outage()).await;
        kafka.restart().await.expect("Kafka starts again");
        pass(Duration::from_secs(2)).await;
        let record = load.stop().await;

        let joins = record.count("POST /members", Some(201));
        let asked = record.seen.iter().filter(|seen| seen.what == "POST /members").count();
        assert!(joins > 20, "{joins} joined");
        assert_eq!(joins, asked, "every join was accepted at once");
        assert_eq!(
            record.count("GET /members", Some(200)),
            record.seen.iter().filter(|seen| seen.what == "GET /members").count()
        );
        world.assert_books_are_right(&record.sent).await;
        assert_all_run(&world, &pids);
        world.stop().await;
    });
}

#[test]
fn postgres_stops_and_is_killed_during_load_and_all_recovers_without_help() {
    block_on(async {
        let postgres = Arc::new(Postgres::start(PostgresOptions::default()).await.expect("Postgres starts"));
        let own = Some(Arc::clone(&postgres));
        let world = World::start_with(WorldOptions { postgres: own, ..Default::default() }).await;
        let pids = pids(&world);
        let load = Load::start(std::slice::from_ref(&world.client), 1);
        pass(Duration::from_secs(2)).await;

        postgres.stop().await;
        pass(outage()).await;
        postgres.restart().await.expect("Postgres starts again");
        pass(Duration::from_secs(2)).await;
        postgres.kill().await;
        pass(Duration::from_secs(1)).await;
        postgres.restart().await.expect("Postgres recovers");
        pass(Duration::from_secs(2)).await;
        let record = load.stop().await;

        let unavailable = record.seen.iter().filter(|seen| is_try_again_later(seen)).count();
        assert!(unavailable > 20, "{unavailable} were asked to come back");
        for seen in &record.seen {
            let status = seen.answer.as_ref().map(|answer| answer.status.as_u16());
            let is_clear = is_try_again_later(seen) || matches!(status, Some(200..=499));
            assert!(is_clear && seen.latency < Duration::from_secs(30), "{seen:?}");
        }
        world.assert_books_are_right(&record.sent).await;
        assert_all_run(&world, &pids);
        world.stop().await;
    });
}

fn is_try_again_later(seen: &e2e::Seen) -> bool {
    let answer = seen.answer.as_ref();
    answer.is_some_and(|answer| answer.shows(503, &serde_json::json!({ "code": "try-again-later" })))
}

#[test]
fn of_two_replicas_each_one_is_killed_over_and_over() {
    block_on(async {
        let world = World::start_with(WorldOptions { env: noticed_soon(), ..Default::default() }).await;
        let mut seconds: Vec<ServiceProcess> = Vec::new();
        for service in SERVICES {
            seconds.push(world.start_replica(service).await);
        }
        let second = Client::of([0, 1, 2, 3].map(|index| seconds[index].url()));
        let load = Load::start(&[world.client.clone(), second], 1);
        let rounds = if std::env::var_os("LONG").is_some() { 20 } else { 2 };

        for _ in 0..rounds {
            for (service, replica) in SERVICES.iter().zip(&seconds) {
                world.service(service).kill().await;
                pass(Duration::from_millis(400)).await;
                world.service(service).restart().await.expect("it starts again");
                replica.kill().await;
                pass(Duration::from_millis(400)).await;
                replica.restart().await.expect("it starts again");
                world.cut_the_relays().await;
            }
        }
        let record = load.stop().await;

        assert!(record.count("POST /members", Some(201)) > 20);
        world.assert_books_are_right(&record.sent).await;
        for replica in seconds {
            let exit = replica.terminate(Duration::from_secs(60)).await;
            assert!(exit.is_some_and(|exit| exit.success()), "{exit:?}");
        }
        world.stop().await;
    });
}
