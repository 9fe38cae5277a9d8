//! Many at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chassis::testing::DEADLINE;
use futures::future::join_all;
use shared_events::event::MemberStatus::{Normal, Ready};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::support::{Membership, Service, entries};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_concurrent_uses_of_a_balance_that_covers_100_exactly_100_succeed() {
    let membership = Membership::of(1);
    let service = Arc::new(Service::with_normal_member(membership).await);
    service.change(1, -900).await;

    let uses = (0..200).map(|_| {
        let service = Arc::clone(&service);
        tokio::spawn(async move { service.change(1, -1).await })
    });
    let mut outcomes = BTreeMap::new();
    for answer in join_all(uses).await {
        let answer = answer.expect("no panic");
        let outcome = if answer.status == 200 { (200, "") } else { answer.problem() };
        *outcomes.entry((outcome.0, outcome.1.to_owned())).or_insert(0) += 1;
    }

    let expected = [((200, String::new()), 100), ((422, "insufficient-points".to_owned()), 100)];
    assert_eq!(outcomes, BTreeMap::from(expected));
    assert_eq!(service.get("/points/1").await.number("remainPoint"), 0);
    assert_eq!(service.ledger(membership).await.len(), 102);
    let versions: Vec<_> = service.published(1).await.iter().map(|event| event.sequence).collect();
    assert_eq!(versions, (1..=102).collect::<Vec<_>>());
    service.assert_books_are_right().await;
}

/// Shops go on until they are told that there is no account; the forfeiture comes when they are in full swing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_happens_to_an_account_after_the_forfeiture_that_races_with_earnings_and_uses() {
    const SHOPS: usize = 8;
    const CHANGES_BEFORE: u32 = 40;
    let membership = Membership::of(1);
    let service = Arc::new(Service::with_normal_member(membership).await);
    let changes = Arc::new(Semaphore::new(0));
    let successes = Arc::new(AtomicUsize::new(0));

    let shops: Vec<_> = (0..SHOPS)
        .map(|shop| {
            let (service, changes, successes) =
                (Arc::clone(&service), Arc::clone(&changes), Arc::clone(&successes));
            tokio::spawn(async move {
                let require_point = if shop % 2 == 0 { 30 } else { -70 };
                loop {
                    let answer = service.change(1, require_point).await;
                    match answer.status.as_u16() {
                        200 => successes.fetch_add(1, Ordering::Relaxed),
                        422 => 0,
                        404 => break,
                        _ => panic!("{answer:?}"),
                    };
                    changes.add_permits(1);
                }
            })
        })
        .collect();
    let forfeiture = async {
        let in_full_swing = changes.acquire_many(CHANGES_BEFORE).await;
        in_full_swing.expect("the semaphore stays open").forget();
        service.forfeit(membership).await
    };
    let forfeited = timeout(DEADLINE, forfeiture).await.expect("the forfeiture in time");
    for shop in timeout(DEADLINE, join_all(shops)).await.expect("the shops end in time") {
        shop.expect("no panic");
    }

    assert_eq!(forfeited.status, 200);
    let ledger = service.ledger(membership).await;
    let sum: i64 = ledger.iter().map(|(_, amount, _)| amount).sum();
    assert_eq!(sum, 0);
    let left = forfeited.number("forfeitedPoint");
    let signup = 1;
    let booked = signup + successes.load(Ordering::Relaxed);
    assert_eq!(ledger.len(), booked + usize::from(left > 0));
    let closings = entries(&ledger).iter().filter(|(entry_type, ..)| *entry_type == "FORFEIT").count();
    assert_eq!(closings, usize::from(left > 0));
    if left > 0 {
        assert_eq!(entries(&ledger).last(), Some(&("FORFEIT", -left, 0)));
    }
    let published = service.published(1).await;
    assert_eq!(published.last().map(|event| event.event_type.as_str()), Some("PointsForfeited"));
    service.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_events_delivered_at_once_open_one_account_and_grant_once() {
    let service = Arc::new(Service::start().await);
    for member_id in 1..=10 {
        let membership = Membership::of(member_id);
        let deliveries = [Ready, Normal, Ready, Normal].map(|status| {
            let service = Arc::clone(&service);
            let version = if status == Ready { 1 } else { 2 };
            tokio::spawn(async move { service.deliver(membership.is(status, version)).await })
        });
        for delivered in join_all(deliveries).await {
            delivered.expect("no panic");
        }
        assert_eq!(entries(&service.ledger(membership).await), [("SIGNUP", 1000, 1000)]);
        assert_eq!(service.get(&format!("/points/{member_id}")).await.body["memberStatus"], "NORMAL");
    }
    service.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forfeiture_that_races_with_the_first_events_leaves_a_closed_account() {
    let service = Arc::new(Service::start().await);
    for member_id in 1..=20 {
        let membership = Membership::of(member_id);
        let forfeiture = async { service.forfeit(membership).await };
        let events = {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                service.deliver(membership.is(Ready, 1)).await;
                service.deliver(membership.is(Normal, 2)).await;
            })
        };
        let (forfeited, delivered) = tokio::join!(forfeiture, events);
        delivered.expect("no panic");

        assert_eq!(forfeited.status, 200);
        assert_eq!(service.get(&format!("/points/{member_id}")).await.status, 404);
        let granted = service.ledger(membership).await.first().map_or(0, |(_, amount, _)| *amount);
        assert_eq!(forfeited.number("forfeitedPoint"), granted);
        let closings = service.published(member_id).await;
        assert_eq!(closings.iter().filter(|event| event.event_type == "PointsForfeited").count(), 1);
    }
    service.assert_books_are_right().await;
}
