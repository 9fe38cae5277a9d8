//! Hundreds of customers lead random lives while everything fails at random, all from one seed, and a simple model says
//! what every answer and the end must be. A test target of its own, so that it has the machine to itself.
#![allow(clippy::panic, reason = "clippy takes the helpers of integration tests for production code")]

mod customer;
mod faults;
mod model;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::{Client, PointProxy, Sent, World, WorldOptions, block_on, noticed_soon};
use local_stack::kafka::{Kafka, KafkaOptions};
use local_stack::postgres::{Postgres, PostgresOptions};
use local_stack::services::Ports;
use tokio::task::JoinSet;

use crate::customer::{Customer, Ended};
use crate::faults::{Victims, plan};

/// How many live at a time.
const AT_A_TIME: usize = 24;

/// At least so many live, even when the faults are over sooner.
const CUSTOMERS: i64 = 300;

fn is_long() -> bool {
    std::env::var_os("LONG").is_some()
}

/// How long the faults go on, and how long one may last at most.
fn durations() -> (Duration, Duration) {
    let (all, longest) = if is_long() { (540, 60) } else { (30, 2) };
    (Duration::from_secs(all), Duration::from_secs(longest))
}

/// What each customer does, and which faults come in which order, follows from it.
fn seed() -> u64 {
    std::env::var("MODEL_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().expect("MODEL_SEED is an integer from 0 on"))
}

/// Past the test harness, which would swallow it.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("standard error");
}

#[test]
fn whatever_fails_every_answer_and_the_end_are_as_the_model_says() {
    let seed = seed();
    let long = if is_long() { " --long" } else { "" };
    say(&format!("model: MODEL_SEED={seed} ./dev test{long} -p e2e --test model runs this again"));
    block_on(run(seed));
}

async fn run(seed: u64) {
    let kafka = Kafka::start(KafkaOptions::default()).await.expect("Kafka starts");
    let postgres = Arc::new(Postgres::start(PostgresOptions::default()).await.expect("Postgres starts"));
    let ports = Ports::free().expect("ports");
    let proxy = PointProxy::start(ports[2].internal).await.expect("a proxy");
    let mut env = noticed_soon();
    env.push(("member", "POINT_INTERNAL_URL", proxy.url()));
    let options = WorldOptions {
        postgres: Some(Arc::clone(&postgres)),
        brokers: Some(kafka.brokers()),
        ports: Some(ports),
        env,
    };
    let world = World::start_with(options).await;
    let victims = Victims { world: &world, kafka: &kafka, postgres, proxy: &proxy };

    let (all, longest) = durations();
    let plan = plan(seed, all, longest);
    let are_over = AtomicBool::new(false);
    let (customers, ()) = tokio::join!(customers(seed, &world.client, &are_over), async {
        for step in &plan {
            victims.suffer(*step).await;
        }
        are_over.store(true, Ordering::SeqCst);
    });
    world.services.wait_ready().await.expect("all services are ready again");
    world.quiet().await;
    let wrong = wrong(&world, &customers).await;
    assert!(wrong.is_empty(), "seed {seed}, faults {plan:#?}:\n{}", wrong.join("\n"));
    let requests: usize = customers.iter().map(|ended| ended.requests).sum();
    say(&format!("model: {} customers, {requests} requests, {} faults", customers.len(), plan.len()));
    world.stop().await;
}

/// Lets customers live until the faults are over, and longer if they were too few.
async fn customers(seed: u64, client: &Client, are_over: &AtomicBool) -> Vec<Ended> {
    let (mut living, mut ended, mut next) = (JoinSet::new(), Vec::new(), 1);
    loop {
        while living.len() < AT_A_TIME && (next <= CUSTOMERS || !are_over.load(Ordering::SeqCst)) {
            living.spawn(Customer::new(seed, next, client.clone()).live());
            next += 1;
        }
        match living.join_next().await {
            Some(Ok(Ok(customer))) => ended.push(customer),
            Some(Ok(Err(error))) => panic!("seed {seed}: {error}"),
            Some(Err(panicked)) => panic!("seed {seed}: {panicked}"),
            None => return ended,
        }
    }
}

/// Everything that is not as the model says.
async fn wrong(world: &World, customers: &[Ended]) -> Vec<String> {
    let sent: Vec<Sent> = customers.iter().flat_map(|ended| ended.sent.iter().copied()).collect();
    let mut wrong = world.violations(&sent).await;
    let members: Vec<(i64, String, i64)> = sqlx::query_as(
        "SELECT member.member_id, status, balance FROM member.member JOIN point.account USING (membership_id)",
    )
    .fetch_all(&world.pool)
    .await
    .expect("the members");
    let mut members: HashMap<i64, (String, i64)> =
        members.into_iter().map(|(member_id, status, balance)| (member_id, (status, balance))).collect();
    for Ended { member_id, member, .. } in customers {
        let found = members.remove(member_id);
        let is_right = match (member, &found) {
            (None, None) => true,
            (Some((status, balance)), Some((found, points))) => found == status && balance.allows(*points),
            _ => false,
        };
        if !is_right {
            wrong.push(format!("member {member_id} is {found:?}, not {member:?}"));
        }
    }
    wrong.extend(members.iter().map(|member| format!("{member:?} was never asked for")));
    wrong
}
