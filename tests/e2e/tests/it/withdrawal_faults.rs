//! Withdrawals while something is wrong between member and point: never half done, and nobody else waits.

use std::io::Write;
use std::time::{Duration, Instant};

use e2e::{Client, Mischief, PointProxy, World, WorldOptions, block_on, eventually};
use local_stack::services::Ports;
use serde_json::json;
use tokio::task::JoinSet;

async fn world_behind_proxy(env: Vec<(&'static str, &'static str, String)>) -> (World, PointProxy) {
    let ports = Ports::free().expect("ports");
    let proxy = PointProxy::start(ports[2].internal).await.expect("a proxy");
    let mut env = env;
    env.push(("member", "POINT_INTERNAL_URL", proxy.url()));
    let world = World::start_with(WorldOptions { ports: Some(ports), env, ..Default::default() }).await;
    (world, proxy)
}

#[test]
fn whatever_becomes_of_the_answer_a_withdrawal_is_never_half_done() {
    block_on(async {
        let (world, proxy) = world_behind_proxy(Vec::new()).await;
        let spoilt =
            [Mischief::Reset, Mischief::Swallow, Mischief::Garble, Mischief::Delay(Duration::from_secs(5))];
        for (member_id, mischief) in (1..).zip(spoilt) {
            world.client.join_and_be_granted(member_id).await;
            proxy.set(mischief);

            let answer = world.client.withdraw(member_id).await;

            proxy.set(Mischief::None);
            let unconfirmed = json!({ "code": "try-again-later", "outcome": "unknown" });
            // The points are forfeited, so the withdrawal may have finished by itself before the last attempt.
            assert!(answer.status == 204 || answer.shows(503, &unconfirmed), "{mischief:?}: {answer:?}");
            gone(&world, member_id).await;
            assert!([204, 404].contains(&world.client.withdraw(member_id).await.status.as_u16()));
        }
        proxy.set(Mischief::Delay(Duration::from_millis(100)));
        world.client.join_and_be_granted(100).await;
        assert_eq!(world.client.withdraw(100).await.status, 204);
        world.quiet().await;
        assert_eq!(world.violations(&[]).await, Vec::<String>::new());
        world.stop().await;
    });
}

/// Finished by itself: nobody asks again.
async fn gone(world: &World, member_id: i64) {
    for path in ["members", "points", "mypages"] {
        world.client.until(&format!("/{path}/{member_id}"), 404, json!({})).await;
    }
}

#[test]
fn a_withdrawal_that_never_reaches_point_leaves_everything_as_it_was() {
    block_on(async {
        let (world, proxy) = world_behind_proxy(Vec::new()).await;
        world.client.join_and_be_granted(1).await;
        proxy.set(Mischief::BlackHole);

        let answer = world.client.withdraw(1).await;

        assert!(answer.shows(503, &json!({ "outcome": "unknown" })), "{answer:?}");
        assert!(world.client.get("/members/1").await.shows(200, &json!({ "memberStatus": "NORMAL" })));
        assert!(world.client.get("/points/1").await.shows(200, &json!({ "remainPoint": 1_000 })));
        proxy.set(Mischief::None);
        assert_eq!(world.client.withdraw(1).await.status, 204);
        gone(&world, 1).await;
        world.stop().await;
    });
}

#[test]
fn while_withdrawals_hang_everything_else_is_answered() {
    const HANGING: i64 = 50;
    const ASKED: i64 = 100;
    block_on(async {
        let patient = ["FORFEIT_TIMEOUT_MS", "FORFEIT_ATTEMPT_TIMEOUT_MS"];
        let mut env: Vec<_> = patient.map(|name| ("member", name, "50000".to_owned())).into();
        env.push(("member", "REQUEST_TIMEOUT_MS", "60000".to_owned()));
        env.push(("member", "FORFEIT_CONCURRENCY", HANGING.to_string()));
        let (world, proxy) = world_behind_proxy(env).await;
        for member_id in 1..=HANGING + 1 {
            assert_eq!(world.client.join_with_own_number(member_id).await.status, 201);
        }
        world.client.until("/mypages/1", 200, json!({ "remainPoint": 1_000 })).await;
        let before = latencies(&world.client, 1_000, ASKED).await;

        proxy.set(Mischief::BlackHole);
        let mut hanging = JoinSet::new();
        for member_id in 1..=HANGING {
            let client = world.client.clone();
            hanging.spawn(async move { client.withdraw(member_id).await });
        }
        in_flight(&world, HANGING).await;
        let during = latencies(&world.client, 2_000, ASKED).await;
        let turned_away = world.client.withdraw(HANGING + 1).await;

        assert!(turned_away.shows(503, &json!({ "outcome": "unchanged" })), "{turned_away:?}");
        assert!(hanging.try_join_next().is_none(), "the withdrawals ended before the others were answered");
        report("before", before);
        report("while 50 withdrawals hang", during);
        hanging.abort_all();
        proxy.set(Mischief::None);
        for service in world.services.all() {
            service.kill().await;
        }
    });
}

/// How long joins, look-ups and my page take, one after the other; all must succeed.
async fn latencies(client: &Client, first: i64, count: i64) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for member_id in first..first + count {
        let began = Instant::now();
        assert_eq!(client.join_with_own_number(member_id).await.status, 201);
        assert_eq!(client.get(&format!("/members/{member_id}")).await.status, 200);
        assert_eq!(client.get("/mypages/1").await.status, 200);
        latencies.push(began.elapsed() / 3);
    }
    latencies.sort();
    latencies
}

/// Past the test harness, which would swallow it.
fn report(when: &str, latencies: Vec<Duration>) {
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    let line = format!("joins and reads {when}: p50 {:?}, p99 {:?}\n", at(50), at(99));
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
}

async fn in_flight(world: &World, expected: i64) {
    let url = format!("{}/metrics", world.service("member").internal_url());
    let line = format!("point_calls_in_flight {expected}");
    eventually("the withdrawals hang", || async {
        let answer = reqwest::get(&url).await.map_err(|error| error.to_string())?;
        let metrics = answer.text().await.map_err(|error| error.to_string())?;
        if metrics.lines().any(|each| each == line) { Ok(()) } else { Err("not all of them".to_owned()) }
    })
    .await;
}
