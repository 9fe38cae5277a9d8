//! Each message is sent by one worker at a time.

use std::collections::HashSet;

use chassis::testing::until;
use chrono::{TimeDelta, Utc};
use message::domain::Limits;
use message::gateway::SendError;
use message::store::queue::Lease;
use message::usecase::claim_messages::{SpendingGuard, claim_messages};
use uuid::Uuid;

use crate::support::events::{published, withdrawn};
use crate::support::{RunningWorker, Service, StubGateway};

#[tokio::test]
async fn two_workers_send_each_of_500_messages_once() {
    let service = Service::start().await;
    service.queue_many(500).await;
    let gateway = StubGateway::accepting();
    let workers = [RunningWorker::start(&service, &gateway), RunningWorker::start(&service, &gateway)];

    until("all are sent", async || service.count("SENT").await == 500).await;
    for worker in workers {
        worker.stop().await;
    }

    let calls = gateway.calls();
    assert_eq!(calls.by_reference.len(), 500);
    assert!(calls.by_reference.values().all(|times| *times == 1));
    let events = published(&service.pool).await;
    let keys: HashSet<&str> = events.iter().map(|event| event.key.as_str()).collect();
    assert_eq!((events.len(), keys.len()), (500, 500));
    assert!(service.stored().await.iter().all(|message| message.attempts == 1));
}

#[tokio::test]
async fn a_worker_sends_no_more_at_a_time_than_it_may() {
    let service = Service::start().await;
    service.queue_many(20).await;
    let gateway = StubGateway::holding();
    let worker = RunningWorker::start_with(&service, &gateway, 3);
    for _ in 0..10 {
        gateway.until_in_flight(3).await;
        worker.wake.wake();
        gateway.let_go(1);
    }
    gateway.release();
    until("all are sent", async || service.count("SENT").await == 20).await;
    worker.stop().await;

    assert_eq!(gateway.calls().most_in_flight, 3);
    assert_eq!(gateway.count(), 20);
}

#[tokio::test]
async fn a_claim_takes_no_more_than_it_asks_for_and_the_oldest_first() {
    let service = Service::start().await;
    // What Postgres knows of the table is from a quieter time, when scanning it again and again was cheap.
    let membership_id = service.queue(1).await;
    service.handle(1, withdrawn(1, membership_id)).await;
    service.database.as_owner("ANALYZE message").await;
    service.queue_many(20).await;

    let (now, guard) = (Utc::now(), SpendingGuard::new(Limits::default()));
    for expected in [[1, 2, 3], [4, 5, 6], [7, 8, 9]] {
        let lease = Lease { claim: Uuid::now_v7(), until: now + TimeDelta::seconds(30) };
        let claims = claim_messages(&service.pool, &guard, lease, now, 3).await.unwrap();
        let mut members: Vec<i64> =
            claims.claimed.into_iter().map(|claimed| claimed.member_id.get()).collect();
        members.sort_unstable();
        assert_eq!(members, expected);
    }
}

#[tokio::test]
async fn what_a_live_worker_is_sending_is_left_to_it() {
    let service = Service::start().await;
    service.queue(1).await;
    let (slow, other) = (StubGateway::holding(), StubGateway::accepting());
    let owner = RunningWorker::start(&service, &slow);
    slow.until_in_flight(1).await;

    let second = RunningWorker::start(&service, &other);
    service.queue(2).await;
    second.wake.wake();
    until("the second has looked", async || service.count("SENT").await == 1).await;
    second.stop().await;
    slow.release();
    owner.stop().await;

    let sent = |gateway: &StubGateway| gateway.calls().by_reference.into_keys().sum::<i64>();
    assert_eq!((slow.count() + other.count(), sent(&slow) + sent(&other)), (2, 3));
    assert_eq!(service.count("SENT").await, 2);
}

#[tokio::test]
async fn what_a_dead_worker_was_sending_is_sent_by_another_after_the_lease() {
    let service = Service::start().await;
    service.queue(1).await;
    let (stuck, other) = (StubGateway::holding(), StubGateway::accepting());
    let owner = RunningWorker::start(&service, &stuck);
    stuck.until_in_flight(1).await;
    owner.cancel();
    service.make_due().await;

    let heir = RunningWorker::start(&service, &other);
    service.until_status("SENT").await;
    heir.stop().await;
    let sent = (service.the_message().await, published(&service.pool).await);
    assert_eq!(sent.0.attempts, 2);
    assert_eq!(sent.1.len(), 1);

    // The first owner was only slow after all: what it notes comes too late.
    stuck.release();
    owner.ended().await.unwrap();
    assert_eq!((stuck.count(), other.count()), (1, 1));
    assert_eq!((service.the_message().await, published(&service.pool).await), sent);
}

#[tokio::test]
async fn the_late_outcome_of_a_former_owner_does_not_end_what_its_heir_is_sending() {
    for late in [
        Ok(()),
        Err(SendError::Refused { reason: "late".to_owned() }),
        Err(SendError::Unavailable { reason: "late".to_owned(), retry_after: None }),
    ] {
        let service = Service::start().await;
        service.queue(1).await;
        let (former, heir) = (StubGateway::holding(), StubGateway::holding());
        former.answer(late);
        let first = RunningWorker::start(&service, &former);
        former.until_in_flight(1).await;
        first.cancel();
        service.make_due().await;
        let second = RunningWorker::start(&service, &heir);
        heir.until_in_flight(1).await;
        let being_sent = service.the_message().await;

        former.release();
        first.ended().await.unwrap();

        assert_eq!(service.the_message().await, being_sent);
        assert!(published(&service.pool).await.is_empty());
        heir.release();
        second.stop().await;
        assert_eq!(service.count("SENT").await, 1);
        assert_eq!(published(&service.pool).await.len(), 1);
    }
}
