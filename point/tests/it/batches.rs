//! Events that are handled at once leave what they leave one by one.

use std::sync::Arc;

use chassis::testing::DEADLINE;
use chrono::TimeDelta;
use futures::future::join_all;
use point::policy::Policies;
use serde_json::Value;
use shared_events::delivery::Outcome::{Applied, Ignored, Stale};
use shared_events::delivery::{AfterCommit, EventHandler, HandlerError, Outcome};
use shared_events::event::MemberStatus::{self, Abnormal, Normal, Ready};
use shared_events::{Envelope, Event};
use tokio::time::timeout;

use crate::support::{EVENT_ACTOR, Membership, Service, TERMS, entries};

type Record = (Envelope, Event);

/// What the member service tells of a membership, at a time and with a trace of its own.
fn told(membership: Membership, status: MemberStatus, version: i64) -> Record {
    let (mut envelope, event) = membership.is(status, version);
    envelope.time += TimeDelta::minutes(version);
    envelope.provenance.traceparent = Some(format!("00-{:032x}-b7ad6b7169203331-01", envelope.id.as_u128()));
    (envelope, event)
}

/// Hands events to the policies at once, as the consumer does with a batch.
async fn try_at_once(service: &Service, records: &[Record]) -> Result<Vec<Outcome>, HandlerError> {
    let events = records.iter().map(|(envelope, event)| (envelope, event.clone())).collect();
    let mut tx = service.pool.begin().await.expect("a transaction");
    let mut after = AfterCommit::default();
    let policies = Policies { validity: TERMS.validity };
    let outcomes = policies.handle_all_in_tx(&mut tx, events, &mut after).await?;
    tx.commit().await.expect("the commit");
    after.run();
    Ok(outcomes)
}

async fn at_once(service: &Service, records: &[Record]) -> Vec<Outcome> {
    try_at_once(service, records).await.expect("the events are handled")
}

async fn one_by_one(service: &Service, records: &[Record]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for record in records {
        outcomes.push(service.deliver(record.clone()).await);
    }
    outcomes
}

/// Everything that is stored, but for the ids of the events, when they were written, and the traces of requests.
async fn left(service: &Service) -> Value {
    let mut left = service.snapshot().await;
    for row in left["outbox"].as_array_mut().into_iter().flatten() {
        let row = row.as_object_mut().expect("a row");
        row.remove("ce_id").expect("an id");
        row.remove("created_at").expect("a time");
        if row["actor"] != EVENT_ACTOR {
            row.remove("traceparent");
        }
    }
    left
}

/// Asserts that a batch leaves the rows, with their ids, and the events that its events leave one by one; returns the
/// outcomes and the service.
async fn assert_same(prepare: impl AsyncFn(&Service), batch: &[Record]) -> (Vec<Outcome>, Service) {
    let (together, apart) = (Service::start().await, Service::start().await);
    prepare(&together).await;
    prepare(&apart).await;

    let outcomes = at_once(&together, batch).await;

    assert_eq!(outcomes, one_by_one(&apart, batch).await);
    assert_eq!(left(&together).await, left(&apart).await);
    together.assert_books_are_right().await;
    (outcomes, together)
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

#[tokio::test]
async fn who_joins_and_becomes_normal_in_a_batch_has_an_account_and_the_sign_up_points() {
    let membership = Membership::of(1);
    let batch = [told(membership, Ready, 1), told(membership, Normal, 2)];

    let (outcomes, service) = assert_same(async |_| {}, &batch).await;

    assert_eq!(outcomes, [Applied, Applied]);
    let account = service.get("/points/1").await;
    assert_eq!((&account.body["memberStatus"], account.number("remainPoint")), (&"NORMAL".into(), 1000));
    assert_eq!(service.published(1).await.len(), 1);
}

#[tokio::test]
async fn what_is_told_twice_in_a_batch_or_late_changes_nothing_again() {
    let membership = Membership::of(1);
    let [joined, normal] = [told(membership, Ready, 1), told(membership, Normal, 2)];
    let batch = [joined.clone(), normal.clone(), normal, joined, told(membership, Abnormal, 2)];

    let (outcomes, service) = assert_same(async |_| {}, &batch).await;

    assert_eq!(outcomes, [Applied, Applied, Stale, Stale, Stale]);
    assert_eq!(entries(&service.ledger(membership).await), [("SIGNUP", 1000, 1000)]);
    assert_eq!(at_once(&service, &batch).await, [Stale; 5]);
}

#[tokio::test]
async fn a_status_that_grants_nothing_is_copied_and_points_are_kept() {
    let memberships = [1, 2, 3].map(Membership::of);
    let joined = memberships.map(|membership| told(membership, Normal, 1));
    let prepare = async |service: &Service| {
        one_by_one(service, &joined).await;
        for member_id in 1..=3 {
            service.change(member_id, 70 * member_id).await;
        }
    };
    let batch = [told(memberships[2], Abnormal, 2), told(memberships[0], Normal, 3)];

    let (outcomes, service) = assert_same(prepare, &batch).await;

    assert_eq!(outcomes, [Applied, Applied]);
    let account = service.get("/points/3").await;
    assert_eq!((&account.body["memberStatus"], account.number("remainPoint")), (&"ABNORMAL".into(), 1210));
}

#[tokio::test]
async fn a_newer_membership_in_a_batch_closes_the_open_accounts_of_the_former_ones() {
    let [former, second, third] = [(); 3].map(|()| Membership::of(1));
    let other = Membership::of(2);
    let joined = told(former, Normal, 2);
    let prepare = async |service: &Service| {
        service.deliver(joined.clone()).await;
        service.change(1, 500).await;
    };
    let batch = [
        told(other, Normal, 1),
        told(former, Abnormal, 3),
        told(second, Ready, 5),
        told(former, Normal, 4),
        told(second, Normal, 6),
        told(third, Normal, 9),
        told(other, Abnormal, 2),
        told(second, Abnormal, 7),
    ];

    let (outcomes, service) = assert_same(prepare, &batch).await;

    assert_eq!(outcomes, [Applied, Applied, Applied, Stale, Applied, Applied, Applied, Stale]);
    assert_eq!(entries(&service.ledger(second).await), [("SIGNUP", 1000, 1000), ("FORFEIT", -1000, 0)]);
    let published = service.published(1).await;
    let sequences: Vec<_> = published.iter().map(|event| (event.membership_id, event.sequence)).collect();
    let [former, second, third] = [former, second, third].map(|membership| membership.id.0);
    assert_eq!(sequences, [(former, 1), (former, 2), (former, 3), (second, 4), (second, 5), (third, 6)]);
}

#[tokio::test]
async fn in_every_order_and_of_many_members_a_batch_leaves_what_its_events_leave_one_by_one() {
    let history = |member_id: i64| {
        let (former, newer) = (Membership::of(member_id), Membership::of(member_id));
        let normal = told(former, Normal, 2);
        [told(former, Ready, 1), normal.clone(), normal, told(newer, Ready, 4), told(newer, Normal, 5)]
    };
    let of_member = |number: usize| orders(&history(1 + number as i64)).swap_remove(number);
    let histories: Vec<Vec<Record>> = (0..120).map(of_member).collect();
    let of_step = |step: usize| histories.iter().rev().map(move |history| history[step].clone());
    let batch: Vec<Record> = (0..5).flat_map(of_step).collect();

    let (outcomes, _) = assert_same(async |_| {}, &batch).await;

    assert!(outcomes.contains(&Applied) && outcomes.contains(&Stale));
}

#[tokio::test]
async fn events_of_others_in_a_batch_are_ignored() {
    let membership = Membership::of(1);
    let (envelope, _) = told(membership, Normal, 9);
    let batch = [(envelope.clone(), Event::Unknown), told(membership, Normal, 1), (envelope, Event::Unknown)];

    let (outcomes, service) = assert_same(async |_| {}, &batch).await;

    assert_eq!(outcomes, [Ignored, Applied, Ignored]);
    assert_eq!(at_once(&service, &[]).await, []);
}

#[tokio::test]
async fn a_batch_writes_nothing_on_books_that_do_not_fit() {
    let (broken, other) = (Membership::of(1), Membership::of(2));
    let service = Service::with_normal_member(broken).await;
    service.as_owner("UPDATE lot SET remaining = remaining - 1").await;
    let before = service.snapshot().await;

    let refused = try_at_once(&service, &[told(other, Normal, 1), told(broken, Abnormal, 3)]).await;

    assert!(matches!(refused, Err(HandlerError::Permanent(_))), "{refused:?}");
    assert_eq!(service.snapshot().await, before);
    let others = [told(other, Normal, 1), told(broken, Abnormal, 2)];
    assert_eq!(at_once(&service, &others).await, [Applied, Stale]);
}

/// Two replicas read the same partition for a moment when it is given from one to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_the_same_members_in_any_order_never_wait_for_each_other_for_ever() {
    const MEMBERS: i64 = 60;
    let service = Arc::new(Service::start().await);
    let formers: Vec<Membership> = (1..=MEMBERS).map(Membership::of).collect();
    let newer: Vec<Membership> = (1..=MEMBERS).map(Membership::of).collect();
    for (round, memberships) in [&formers, &newer].into_iter().enumerate() {
        let version = 10 * round as i64;
        let ascending: Vec<Record> = memberships
            .iter()
            .flat_map(|membership| {
                [told(*membership, Ready, version + 1), told(*membership, Normal, version + 2)]
            })
            .collect();
        let descending: Vec<Record> = ascending.iter().rev().cloned().collect();
        let batches = [ascending.clone(), descending.clone(), descending, ascending].map(|batch| {
            let service = Arc::clone(&service);
            tokio::spawn(async move { at_once(&service, &batch).await })
        });
        let others = memberships.iter().map(|membership| {
            let (service, membership) = (Arc::clone(&service), *membership);
            tokio::spawn(async move {
                service.change(membership.member_id, 30).await;
                if membership.member_id % 3 == 0 {
                    service.forfeit(membership).await;
                }
            })
        });
        let others: Vec<_> = others.collect();
        for batch in timeout(DEADLINE, join_all(batches)).await.expect("in time") {
            batch.expect("no deadlock");
        }
        for other in timeout(DEADLINE, join_all(others)).await.expect("in time") {
            other.expect("no panic");
        }
    }
    service.assert_books_are_right().await;
    for membership in newer.iter().filter(|membership| membership.member_id % 3 != 0) {
        assert_eq!(service.ledger(*membership).await.first(), Some(&("SIGNUP".to_owned(), 1000, 1000)));
        let account = service.get(&format!("/points/{}", membership.member_id)).await;
        assert_eq!(account.body["memberStatus"], "NORMAL");
    }
}
