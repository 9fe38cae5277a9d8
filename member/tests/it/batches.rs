//! Events that are handled at once leave what they leave one by one.

use member::policy::Policies;
use serde_json::Value;
use shared_events::delivery::{AfterCommit, EventHandler, Outcome};
use shared_events::{Envelope, Event, MembershipId};
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::Service;
use crate::support::events::{
    Published, envelope, message_failed, message_sent, points_forfeited, published, summaries,
};

type Record = (Envelope, Event);

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
    let outcomes = Policies.handle_all_in_tx(&mut tx, events, &mut after).await.unwrap();
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

/// All that is stored.
async fn left(pool: &PgPool) -> Vec<Value> {
    sqlx::query_scalar(
        "SELECT to_jsonb(member) FROM member
         UNION ALL SELECT to_jsonb(tombstone) FROM tombstone ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Makes somebody a member without the event of it.
async fn store(pool: &PgPool, member_id: i64, membership_id: MembershipId, phone_no: &str, status: &str) {
    sqlx::query(
        "INSERT INTO member (member_id, membership_id, phone_no, nickname, status, version, joined_at)
         VALUES ($1, $2, $3, 'SEQ', $4, 1, 'epoch')",
    )
    .bind(member_id)
    .bind(membership_id.0)
    .bind(phone_no)
    .bind(status)
    .execute(pool)
    .await
    .unwrap();
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

/// Two of one phone number: the first ABNORMAL, the second READY.
#[derive(Clone, Copy)]
struct Pair {
    first: (i64, MembershipId),
    second: (i64, MembershipId),
}

impl Pair {
    async fn store(&self, pool: &PgPool) {
        let phone_no = format!("010{:08}", self.first.0);
        store(pool, self.first.0, self.first.1, &phone_no, "ABNORMAL").await;
        store(pool, self.second.0, self.second.1, &phone_no, "READY").await;
    }

    /// What may happen to the two, in every order.
    fn histories(&self) -> Vec<Vec<Record>> {
        let Self { first, second } = *self;
        orders(&[
            record(first.0, message_sent(first.0, first.1)),
            record(second.0, message_failed(second.0, second.1)),
            record(second.0, message_sent(second.0, second.1)),
            record(second.0, points_forfeited(second.0, second.1)),
            record(first.0, message_sent(first.0, membership())),
        ])
    }
}

/// 120 pairs, each with a history in another order.
fn pairs() -> Vec<(Pair, Vec<Record>)> {
    let pair = |(number, member_id)| {
        let pair = Pair { first: (member_id, membership()), second: (member_id + 1, membership()) };
        (pair, pair.histories().swap_remove(number))
    };
    (1..).step_by(2).take(120).enumerate().map(pair).collect()
}

/// Handles batches at once, and their events one by one in another service, and expects the same of both.
async fn assert_the_same_is_left(pairs: &[(Pair, Vec<Record>)], batches: &[Vec<Record>]) {
    let (at_once, one_by_one) = (Service::start().await, Service::start().await);
    let mut all = Vec::new();
    for (pair, _) in pairs {
        pair.store(&at_once.pool).await;
        pair.store(&one_by_one.pool).await;
    }
    for batch in batches {
        let outcomes = handle_at_once(&at_once, batch).await;
        assert_eq!(outcomes, handle_one_by_one(&one_by_one, batch).await, "{batch:?}");
        all.extend(outcomes);
    }
    for outcome in [Outcome::Applied, Outcome::AlreadyApplied, Outcome::Stale, Outcome::Ignored] {
        assert!(all.contains(&outcome), "{outcome:?} is not tested");
    }
    assert_eq!(left(&at_once.pool).await, left(&one_by_one.pool).await);
    assert_eq!(published_by_key(&at_once.pool).await, published_by_key(&one_by_one.pool).await);
}

/// What was published of each member, in its order.
async fn published_by_key(pool: &PgPool) -> Vec<Published> {
    let mut published = published(pool).await;
    published.sort_by(|one, other| one.key.cmp(&other.key));
    published
}

#[tokio::test]
async fn in_every_order_a_batch_leaves_what_its_events_leave_one_by_one() {
    let pairs = pairs();
    let batches: Vec<_> = pairs.iter().map(|(_, history)| history.clone()).collect();
    assert_the_same_is_left(&pairs, &batches).await;
}

#[tokio::test]
async fn a_batch_of_many_members_leaves_what_its_events_leave_one_by_one() {
    let pairs = pairs();
    let of_step = |step: usize| pairs.iter().rev().map(move |(_, history)| history[step].clone());
    let interleaved = (0..5).flat_map(of_step).collect();
    assert_the_same_is_left(&pairs, &[interleaved]).await;
}

#[tokio::test]
async fn what_is_told_twice_in_a_batch_changes_the_status_once() {
    let service = Service::start().await;
    let memberships = [service.join(1).await, service.join(2).await];
    let unknown = membership();
    let sent = record(2, message_sent(2, memberships[1]));
    let records = [
        sent.clone(),
        record(1, message_failed(1, memberships[0])),
        sent,
        record(3, message_sent(3, unknown)),
        record(1, message_failed(1, memberships[0])),
    ];

    let outcomes = handle_at_once(&service, &records).await;

    assert_eq!(
        outcomes,
        [
            Outcome::Applied,
            Outcome::Applied,
            Outcome::AlreadyApplied,
            Outcome::Stale,
            Outcome::AlreadyApplied
        ]
    );
    assert_eq!((service.status(1).await, service.status(2).await), ("ABNORMAL".into(), "NORMAL".into()));
    let changes = published(&service.pool).await.split_off(2);
    let told: Vec<_> = changes.iter().map(|event| (event.key.as_str(), event.summary())).collect();
    assert_eq!(told, [("2", ("MemberStatusChanged", 2)), ("1", ("MemberStatusChanged", 2))]);
    let traces: Vec<_> = changes.into_iter().map(|event| event.traceparent).collect();
    assert_eq!(traces, [0, 1].map(|cause| records[cause].0.provenance.traceparent.clone()));
}

#[tokio::test]
async fn sent_after_failed_and_a_forfeiture_in_one_batch_are_published_in_their_order() {
    let service = Service::start().await;
    let membership_id = service.join(1).await;
    let happening = [
        message_failed(1, membership_id),
        message_sent(1, membership_id),
        points_forfeited(1, membership_id),
        message_sent(1, membership_id),
        points_forfeited(1, membership_id),
    ];

    let outcomes = handle_at_once(&service, &happening.map(|event| record(1, event))).await;

    let applied = Outcome::Applied;
    assert_eq!(outcomes, [applied, applied, applied, Outcome::Stale, Outcome::AlreadyApplied]);
    assert_eq!(service.membership(1).await, None);
    let names = ["MemberJoined", "MemberStatusChanged", "MemberStatusChanged", "MemberWithdrawn"];
    let expected: Vec<_> = names.into_iter().map(str::to_owned).zip(1..).collect();
    assert_eq!(summaries(&service.pool).await, expected);
    let statuses =
        published(&service.pool).await.into_iter().map(|event| event.payload["memberStatus"].clone());
    assert_eq!(statuses.collect::<Vec<_>>()[1..3], ["ABNORMAL", "NORMAL"]);
}

#[tokio::test]
async fn who_becomes_abnormal_in_a_batch_leaves_the_number_to_who_is_reinstated_in_it() {
    let service = Service::start().await;
    let first = service.join_with_phone(1, "01085581234").await;
    service.handle(1, message_failed(1, first)).await;
    let second = service.join_with_phone(2, "01085581234").await;
    let sent = record(1, message_sent(1, first));
    let records = [sent.clone(), record(2, message_failed(2, second)), sent];

    let outcomes = handle_at_once(&service, &records).await;

    assert_eq!(outcomes, [Outcome::Ignored, Outcome::Applied, Outcome::Applied]);
    assert_eq!((service.status(1).await, service.status(2).await), ("NORMAL".into(), "ABNORMAL".into()));
}

#[tokio::test]
async fn two_batches_of_the_same_members_in_opposite_orders_do_not_stop_each_other() {
    let service = Service::start().await;
    let mut sent = Vec::new();
    for member_id in 1..=300 {
        let membership_id = membership();
        store(&service.pool, member_id, membership_id, &member_id.to_string(), "READY").await;
        sent.push(record(member_id, message_sent(member_id, membership_id)));
    }
    let reversed: Vec<Record> = sent.iter().rev().cloned().collect();

    let (first, second) = tokio::join!(handle_at_once(&service, &sent), handle_at_once(&service, &reversed));

    let outcomes = [first, second].concat();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count(), 300);
    assert_eq!(published(&service.pool).await.len(), 300);
}
