//! Outcomes that come at the same moment are noted together, and each as if it were alone.

use std::sync::Arc;

use chassis::testing::{Log, until};
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::join_all;
use message::domain::{Delivery, Limits};
use message::store::outcomes::Outcome;
use message::store::queue::{Claimed, Lease};
use message::usecase::claim_messages::{SpendingGuard, claim_messages};
use message::usecase::finish_message::{Finisher, outcome};
use serde_json::json;
use shared_events::MembershipId;
use shared_events::delivery::Wake;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::events::{Published, published, withdrawn};
use crate::support::service::Stored;
use crate::support::{BUDGET, Service};

/// When all that a test queues is due; in a precision that Postgres has.
fn soon() -> DateTime<Utc> {
    DateTime::from_timestamp(Utc::now().timestamp() + 60, 0).unwrap()
}

/// A service that is sending messages 1 to `count`, of the members of the same ids, and what notes their outcomes.
async fn sending(count: i32, now: DateTime<Utc>) -> (Service, Finisher, Vec<Claimed>) {
    let service = Service::start().await;
    service.queue_many(count).await;
    let guard = SpendingGuard::new(Limits::default());
    let lease = Lease { claim: Uuid::now_v7(), until: now + TimeDelta::seconds(30) };
    let claims = claim_messages(&service.pool, &guard, lease, now, i64::from(count)).await.unwrap();
    let mut claimed = claims.claimed;
    claimed.sort_by_key(|claimed| claimed.message_id);
    assert_eq!(
        claimed.iter().map(|it| it.message_id).collect::<Vec<_>>(),
        (1..=count.into()).collect::<Vec<_>>()
    );
    let finisher = Finisher::new(service.pool.clone(), Wake::new());
    (service, finisher, claimed)
}

fn sent(gateway_message_id: &str) -> Delivery {
    Delivery::Sent { gateway_message_id: Some(gateway_message_id.to_owned()) }
}

/// An outcome of each kind in turn.
fn mixed(claimed: Claimed, now: DateTime<Utc>) -> Arc<Outcome> {
    let reason = format!("reason {}", claimed.message_id);
    let delivery = match claimed.message_id % 3 {
        0 => sent(&claimed.message_id.to_string()),
        1 => Delivery::Failed { reason },
        _ => {
            let may_be_accepted = claimed.message_id % 2 == 0;
            Delivery::Postponed { reason, retry_after: None, may_be_accepted }
        }
    };
    Arc::new(outcome(&BUDGET, claimed, delivery, now, 0.5))
}

fn all_sent(claimed: Vec<Claimed>, now: DateTime<Utc>) -> Vec<Arc<Outcome>> {
    let outcome = |claimed| Arc::new(outcome(&BUDGET, claimed, sent("S"), now, 0.5));
    claimed.into_iter().map(outcome).collect()
}

/// What is stored and published, by message, without the ids of memberships, which are random.
async fn left(service: &Service) -> (Vec<Stored>, Vec<Published>) {
    let (mut stored, mut published) = (service.stored().await, published(&service.pool).await);
    stored.iter_mut().for_each(|message| message.membership_id = Uuid::nil());
    for event in &mut published {
        assert_eq!(event.payload["membershipId"].take(), json!(event.membership_id));
        event.membership_id = Uuid::nil();
    }
    published.sort_by_key(|event| event.payload["messageId"].as_i64());
    (stored, published)
}

async fn transactions(service: &Service) -> i64 {
    let count = "SELECT count(DISTINCT xmin::text) FROM message";
    sqlx::query_scalar(count).fetch_one(&service.pool).await.unwrap()
}

async fn publishing_members(service: &Service) -> Vec<i64> {
    let events = published(&service.pool).await;
    let mut members: Vec<i64> = events.iter().map(|event| event.key.parse().unwrap()).collect();
    members.sort_unstable();
    members
}

#[tokio::test]
async fn many_outcomes_at_once_leave_the_same_as_one_by_one() {
    let now = soon();
    let (slow, finisher, claimed) = sending(60, now).await;
    for claimed in claimed {
        finisher.finish(&mixed(claimed, now)).await.unwrap();
    }
    let (fast, finisher, claimed) = sending(60, now).await;
    let outcomes: Vec<_> = claimed.into_iter().map(|claimed| mixed(claimed, now)).collect();

    let noted = join_all(outcomes.iter().map(|outcome| finisher.finish(outcome))).await;

    assert!(noted.iter().all(Result::is_ok), "{noted:?}");
    assert_eq!(finisher.relay.woken().now_or_never(), Some(()));
    let left_by_both = (left(&slow).await, left(&fast).await);
    assert_eq!(left_by_both.0, left_by_both.1);
    assert_eq!(left_by_both.1.1.len(), 40);
    let is_queued = |message: &&Stored| message.status == "QUEUED" && message.due_at > now;
    assert_eq!(left_by_both.1.0.iter().filter(is_queued).count(), 20);
    assert_eq!(transactions(&slow).await, 60);
    assert!(transactions(&fast).await < 20);
}

#[tokio::test]
async fn a_lost_claim_touches_no_other_outcome() {
    let now = soon();
    let (service, finisher, claimed) = sending(10, now).await;
    let membership_id = claimed[4].membership_id;
    let heir = Uuid::now_v7();
    let passes = "UPDATE message SET claim = $1 WHERE message_id = 3";
    sqlx::query(passes).bind(heir).execute(&service.pool).await.unwrap();
    service.handle(5, withdrawn(5, MembershipId(membership_id.0))).await;
    let before = service.stored().await;
    let outcomes = all_sent(claimed, now);

    let noted = join_all(outcomes.iter().map(|outcome| finisher.finish(outcome))).await;

    assert!(noted.iter().all(Result::is_ok), "{noted:?}");
    assert_eq!(service.count("SENT").await, 8);
    let after = service.stored().await;
    assert_eq!((&after[2], &after[4]), (&before[2], &before[4]));
    assert_eq!(after[2].claim, Some(heir));
    assert_eq!(publishing_members(&service).await, [1, 2, 4, 6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn an_outcome_of_a_former_claim_is_not_taken_for_that_of_the_present_one() {
    let now = soon();
    let (service, finisher, claimed) = sending(1, now).await;
    let former = Arc::new(outcome(&BUDGET, claimed[0].clone(), sent("former"), now, 0.5));
    service.make_due().await;
    let guard = SpendingGuard::new(Limits::default());
    let lease = Lease { claim: Uuid::now_v7(), until: now + TimeDelta::seconds(30) };
    let claims = claim_messages(&service.pool, &guard, lease, now, 1).await.unwrap();
    let present = Arc::new(outcome(&BUDGET, claims.claimed[0].clone(), sent("present"), now, 0.5));

    // The first one keeps the lane busy, so that the others are a group.
    let noted = join_all([&former, &former, &present].map(|outcome| finisher.finish(outcome))).await;

    assert!(noted.iter().all(Result::is_ok), "{noted:?}");
    assert_eq!(service.the_message().await.gateway_message_id.as_deref(), Some("present"));
    assert_eq!(publishing_members(&service).await, [1]);
}

#[tokio::test]
async fn an_outcome_that_is_noted_again_publishes_nothing() {
    let now = soon();
    let (service, finisher, claimed) = sending(1, now).await;
    let outcomes = all_sent(claimed, now);
    finisher.finish(&outcomes[0]).await.unwrap();
    let noted = left(&service).await;

    finisher.finish(&outcomes[0]).await.unwrap();

    assert_eq!(left(&service).await, noted);
}

#[tokio::test]
async fn an_outcome_that_postgres_refuses_does_not_stop_others() {
    let now = soon();
    let (service, finisher, claimed) = sending(10, now).await;
    // No text of Postgres has such a character.
    let refused = Arc::new(outcome(&BUDGET, claimed[2].clone(), sent("\0"), now, 0.5));
    let mut outcomes = all_sent(claimed, now);
    outcomes[2] = refused;
    let log = Log::capture();

    let noted = join_all(outcomes.iter().map(|outcome| finisher.finish(outcome))).await;

    let failed: Vec<_> = (1..).zip(&noted).filter(|(_, noted)| noted.is_err()).map(|(id, _)| id).collect();
    assert_eq!(failed, [3]);
    assert_eq!(publishing_members(&service).await, [1, 2, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(service.stored().await[2].status, "QUEUED");
    assert_eq!(log.count("outcomes are noted one by one"), 1, "they were together");
}

#[tokio::test]
async fn a_message_that_somebody_else_is_changing_holds_up_no_other() {
    let now = soon();
    let (service, finisher, claimed) = sending(10, now).await;
    let mut lock = service.pool.begin().await.unwrap();
    let change = "UPDATE message SET traceparent = NULL WHERE message_id = $1";
    sqlx::query(change).bind(8).execute(&mut *lock).await.unwrap();
    let outcomes = all_sent(claimed, now);
    let noting =
        tokio::spawn(async move { join_all(outcomes.iter().map(|outcome| finisher.finish(outcome))).await });

    until("the others are noted", async || service.count("SENT").await == 9).await;
    // Who has one message may want another, whatever their order.
    sqlx::query(change).bind(2).execute(&mut *lock).await.unwrap();
    lock.commit().await.unwrap();

    let noted = timeout(chassis::testing::DEADLINE, noting).await.unwrap().unwrap();
    assert!(noted.iter().all(Result::is_ok), "{noted:?}");
    assert_eq!(service.count("SENT").await, 10);
    assert_eq!(publishing_members(&service).await.len(), 10);
}
