//! Events that are handled at once leave what they leave one by one.

use chrono::{DateTime, TimeDelta, Utc};
use message::policy::Policies;
use serde_json::Value;
use shared_events::delivery::{AfterCommit, EventHandler, Outcome};
use shared_events::event::MemberStatus;
use shared_events::{Envelope, Event, MembershipId};
use uuid::Uuid;

use crate::support::Service;
use crate::support::events::{envelope, expiring, joined, status_changed, withdrawn};

type Record = (Envelope, Event);

fn noon() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::hours(12)
}

fn soon() -> DateTime<Utc> {
    noon() + TimeDelta::days(3)
}

/// An event in an envelope with a trace of its own.
fn record(member_id: i64, event: Event) -> Record {
    let mut envelope = envelope(member_id);
    envelope.provenance.traceparent = Some(format!("00-{:032x}-b7ad6b7169203331-01", envelope.id.as_u128()));
    (envelope, event)
}

/// Lets the policies handle events at once, as the consumer does with a batch.
async fn handle_at_once(service: &Service, records: &[Record]) -> Vec<Outcome> {
    let events = records.iter().map(|(envelope, event)| (envelope, event.clone())).collect();
    let mut tx = service.pool.begin().await.unwrap();
    let mut after = AfterCommit::default();
    let policies = Policies { clock: noon };
    let outcomes = policies.handle_all_in_tx(&mut tx, events, &mut after).await.unwrap();
    tx.commit().await.unwrap();
    after.run();
    outcomes
}

async fn handle_one_by_one(service: &Service, records: &[Record]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for record in records {
        outcomes.extend(handle_at_once(service, std::slice::from_ref(record)).await);
    }
    outcomes
}

/// All that is stored; of each membership in the order in which it was queued.
async fn left(service: &Service) -> Vec<Value> {
    sqlx::query_scalar(
        "SELECT to_jsonb(message) - 'message_id' FROM message ORDER BY membership_id, message_id",
    )
    .fetch_all(&service.pool)
    .await
    .unwrap()
}

fn membership() -> MembershipId {
    MembershipId(Uuid::now_v7())
}

/// The items in every order.
fn orders<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let beginning_with = |index: usize| {
        let mut others = items.to_vec();
        let first = others.remove(index);
        orders(&others).into_iter().map(move |others| [vec![first.clone()], others].concat())
    };
    (0..items.len()).flat_map(beginning_with).collect()
}

/// 120 members, to each of whom the same happens in another order.
fn histories() -> Vec<Vec<Record>> {
    (1..).zip(0..120).map(|(member_id, number)| histories_of(member_id).swap_remove(number)).collect()
}

/// What may happen to a member, in every order.
fn histories_of(member_id: i64) -> Vec<Vec<Record>> {
    let membership_id = membership();
    let happening = [
        joined(member_id, membership_id),
        status_changed(member_id, membership_id, MemberStatus::Ready),
        expiring(member_id, membership_id, soon(), "THREE_DAYS"),
        expiring(member_id, membership_id, soon(), "THREE_DAYS"),
        withdrawn(member_id, membership_id),
    ];
    orders(&happening.map(|event| record(member_id, event)))
}

/// Handles batches at once, and their events one by one in another service, and expects the same of both.
async fn assert_the_same_is_left(batches: &[Vec<Record>]) {
    let (at_once, one_by_one) = (Service::start().await, Service::start().await);
    let mut all = Vec::new();
    for batch in batches {
        let outcomes = handle_at_once(&at_once, batch).await;
        assert_eq!(outcomes, handle_one_by_one(&one_by_one, batch).await, "{batch:?}");
        all.extend(outcomes);
    }
    for outcome in [Outcome::Applied, Outcome::AlreadyApplied, Outcome::Stale, Outcome::Ignored] {
        assert!(all.contains(&outcome), "{outcome:?} is not tested");
    }
    assert_eq!(left(&at_once).await, left(&one_by_one).await);
}

/// Events that change nothing.
fn others() -> Vec<Record> {
    let late = expiring(500, membership(), noon(), "THREE_DAYS");
    let normal = status_changed(501, membership(), MemberStatus::Normal);
    vec![record(500, late), record(501, normal), record(502, Event::Unknown)]
}

#[tokio::test]
async fn in_every_order_a_batch_leaves_what_its_events_leave_one_by_one() {
    let mut batches = histories();
    batches.push(others());
    assert_the_same_is_left(&batches).await;
}

#[tokio::test]
async fn a_batch_of_many_members_leaves_what_its_events_leave_one_by_one() {
    let histories = histories();
    let of_step = |step: usize| histories.iter().rev().map(move |history| history[step].clone());
    let interleaved = (0..5).flat_map(|step| of_step(step).chain(others())).collect();
    assert_the_same_is_left(&[interleaved]).await;
}

#[tokio::test]
async fn what_is_told_twice_in_a_batch_is_queued_once_with_the_trace_of_the_first() {
    use Outcome::{AlreadyApplied, Applied};
    let service = Service::start().await;
    let memberships = [membership(), membership()];
    let records = [
        record(2, joined(2, memberships[1])),
        record(1, status_changed(1, memberships[0], MemberStatus::Ready)),
        record(1, joined(1, memberships[0])),
        record(2, joined(2, memberships[1])),
    ];

    let outcomes = handle_at_once(&service, &records).await;

    assert_eq!(outcomes, [Applied, Applied, AlreadyApplied, AlreadyApplied]);
    let stored = service.stored().await;
    assert_eq!(stored.iter().map(|message| message.member_id).collect::<Vec<_>>(), [2, 1]);
    let traces: Vec<Value> = left(&service).await.iter().map(|row| row["traceparent"].clone()).collect();
    let causes = [1, 0].map(|cause| records[cause].0.provenance.traceparent.clone().unwrap());
    assert_eq!(traces, causes);
}

#[tokio::test]
async fn who_joins_withdraws_and_rejoins_in_a_batch_gets_the_last_welcome_only() {
    use Outcome::{AlreadyApplied, Applied, Ignored};
    let service = Service::start().await;
    let (former, current) = (membership(), membership());
    let happening = [
        joined(1, former),
        expiring(1, former, soon(), "THREE_DAYS"),
        withdrawn(1, former),
        expiring(1, former, soon(), "ONE_MONTH"),
        joined(1, former),
        joined(1, current),
        expiring(1, current, soon(), "THREE_DAYS"),
    ];

    let outcomes = handle_at_once(&service, &happening.map(|event| record(1, event))).await;

    assert_eq!(outcomes, [Applied, Applied, Applied, Ignored, AlreadyApplied, Applied, Applied]);
    let stored = service.stored().await;
    let stored: Vec<_> = stored
        .iter()
        .map(|message| (message.kind.as_str(), message.status.as_str(), message.phone_no.as_deref()))
        .collect();
    assert_eq!(
        stored,
        [
            ("WELCOME", "CANCELLED", None),
            ("EXPIRY_NOTICE", "CANCELLED", None),
            ("WELCOME", "QUEUED", Some("01000000001")),
            ("EXPIRY_NOTICE", "QUEUED", Some("01000000001")),
        ]
    );
}

#[tokio::test]
async fn a_notice_before_the_welcome_in_a_batch_is_ignored_and_one_after_it_is_queued() {
    let service = Service::start().await;
    let membership_id = membership();
    let happening = [
        expiring(1, membership_id, soon(), "ONE_MONTH"),
        joined(1, membership_id),
        expiring(1, membership_id, soon(), "THREE_DAYS"),
    ];

    let outcomes = handle_at_once(&service, &happening.map(|event| record(1, event))).await;

    assert_eq!(outcomes, [Outcome::Ignored, Outcome::Applied, Outcome::Applied]);
    let stored = service.stored().await;
    assert_eq!(stored.len(), 2);
    assert!(stored[1].occasion.ends_with("THREE_DAYS"));
}
