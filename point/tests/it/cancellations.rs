//! `POST /points/{memberId}/transactions/{transactionId}/cancellation`

use chrono::{DateTime, Utc};
use futures::future::join_all;
use point::domain::SpentPolicy;
use point::usecase::expire_points::{BEGINNING, expire_batch};
use point::usecase::transact::Terms;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use shared_events::delivery::Wake;
use shared_events::event::MemberStatus::{Normal, Ready};

use crate::support::{Membership, Service, TERMS, now};

fn transaction(change_type: &str, amount: i64, reference: &str) -> Value {
    json!({ "type": change_type, "amount": amount, "reference": reference })
}

#[tokio::test]
async fn a_use_is_given_back_in_parts_to_the_lots_that_paid_it() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let mut earning = transaction("EARN", 100, "R-1");
    earning["expiresAt"] = "2026-06-01T00:00:00Z".into();
    service.transact(1, &earning).await;
    let before = service.lots(1).await;
    let id = service.transact(1, &transaction("USE", 250, "R-2")).await;

    let first = service.cancel(1, id, Some(170)).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!((first.number("amount"), first.number("remainPoint")), (170, 1_020));
    assert_eq!((first.number("refersTo"), &first.body["type"]), (id, &json!("USE_CANCEL")));
    assert_eq!(first.body["reference"], "R-2", "the receipt of what it cancels");
    let more = service.cancel(1, id, Some(81)).await;
    assert_eq!((more.problem(), more.number("cancellablePoint")), ((422, "invalid-request"), 80));
    assert_eq!(service.cancel(1, id, None).await.number("amount"), 80);
    assert_eq!(service.lots(1).await, before, "with their original expiry");
    for amount in [None, Some(1)] {
        assert_eq!(service.cancel(1, id, amount).await.problem(), (409, "already-cancelled"));
    }
    let published = service.published(1).await;
    let types: Vec<_> = published.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types[2..], ["PointsUsed", "PointsRestored", "PointsRestored"]);
    let restored = &published[3].payload;
    assert_eq!((&restored["refersTo"], &restored["reference"]), (&json!(id), &json!("R-2")));
    service.assert_books_are_right().await;
}

fn later() -> DateTime<Utc> {
    "2026-06-01T00:00:00Z".parse().expect("a time")
}

/// Has member 1 earn 100 points that expire later.
async fn earn_until_later(service: &Service, reference: &str) -> i64 {
    let mut earning = transaction("EARN", 100, reference);
    earning["expiresAt"] = json!(later());
    service.transact(1, &earning).await
}

#[tokio::test]
async fn what_has_expired_meanwhile_comes_back_for_30_days() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    earn_until_later(&service, "R-1").await;
    let id = service.transact(1, &transaction("USE", 100, "R-2")).await;

    let answer = service.at(later).cancel(1, id, Some(60)).await;
    assert_eq!(answer.number("remainPoint"), 1_060);
    let grace: DateTime<Utc> = "2026-07-02T00:00:00+09:00".parse().expect("a time");
    assert_eq!(service.lots(1).await[0], (60, grace));
    // The rest is still the rest, although it is in another lot.
    assert_eq!(service.at(later).cancel(1, id, None).await.number("amount"), 40);
    assert_eq!(service.at(later).cancel(1, id, None).await.problem().0, 409);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn what_has_expired_of_an_earning_is_not_taken_from_other_lots() {
    let taking_from_others = Terms { spent: SpentPolicy::TakeFromOthers, ..TERMS };
    for (terms, used, expected) in [
        (TERMS, 0, Err("points-expired")),
        (TERMS, 40, Err("points-spent")),
        (taking_from_others, 0, Err("points-expired")),
        (taking_from_others, 40, Ok(-40)),
    ] {
        for was_booked in [false, true] {
            let service = Service::with_normal_member(Membership::of(1)).await;
            let id = earn_until_later(&service, "R-1").await;
            if used > 0 {
                service.transact(1, &transaction("USE", used, "R-2")).await;
            }
            if was_booked {
                let expired = expire_batch(&service.pool, &Wake::new(), BEGINNING, 10, later()).await;
                assert_eq!(expired.expect("a batch").0, 1);
            }
            let answer = service.at_on(later, terms).cancel(1, id, None).await;
            match expected {
                Ok(amount) => assert_eq!(answer.number("amount"), amount),
                Err(kind) => assert_eq!(answer.problem(), (422, kind), "{used} used, {terms:?}"),
            }
            service.assert_books_are_right().await;
        }
    }
}

#[tokio::test]
async fn an_earning_is_taken_back_from_the_lot_that_replaces_its_own() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let id = earn_until_later(&service, "R-1").await;
    let used = service.transact(1, &transaction("USE", 100, "R-2")).await;
    let service = service.at(later);
    service.cancel(1, used, None).await;
    assert_eq!(service.cancel(1, id, None).await.number("amount"), -100);
    assert_eq!(service.lots(1).await.len(), 1, "that of the points for joining");
    assert_eq!(service.cancel(1, id, None).await.problem(), (409, "already-cancelled"));
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn an_earning_is_taken_back_from_its_own_lot_and_not_if_it_was_spent() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let mut earning = transaction("EARN", 100, "R-1");
    earning["expiresAt"] = "2026-06-01T00:00:00Z".into();
    let id = service.transact(1, &earning).await;
    assert_eq!(service.cancel(1, id, Some(30)).await.number("amount"), -30);
    service.transact(1, &transaction("USE", 50, "R-2")).await;

    let spent = service.cancel(1, id, None).await;
    assert_eq!((spent.problem(), spent.number("shortfall")), ((422, "points-spent"), 50));
    assert_eq!(service.cancel(1, id, Some(20)).await.number("remainPoint"), 1_000);

    let others = service.on(Terms { spent: SpentPolicy::TakeFromOthers, ..TERMS });
    let rest = others.cancel(1, id, None).await;
    assert_eq!((rest.status.as_u16(), rest.number("remainPoint")), (201, 950), "{rest:?}");
    assert_eq!(others.cancel(1, id, None).await.problem(), (409, "already-cancelled"));
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn what_cannot_be_cancelled_is_refused() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let other = Membership::of(2);
    service.deliver(other.is(Ready, 1)).await;
    service.deliver(other.is(Normal, 2)).await;
    let id = service.transact(1, &transaction("USE", 100, "R-1")).await;
    let cancelled = service.cancel(1, id, Some(10)).await.number("transactionId");
    let before = service.snapshot().await;
    for (member_id, transaction_id, amount, expected) in [
        (1, cancelled, None, (422, "not-cancellable")),
        (1, id - 1, None, (404, "transaction-not-found")),
        (1, id + 1_000, None, (404, "transaction-not-found")),
        (2, id, None, (404, "transaction-not-found")),
        (3, id, None, (404, "account-not-found")),
        (1, id, Some(0), (422, "invalid-request")),
        (1, id, Some(-5), (422, "invalid-request")),
        (1, id, Some(91), (422, "invalid-request")),
    ] {
        let answer = service.cancel(member_id, transaction_id, amount).await;
        assert_eq!(answer.problem(), expected, "{member_id} {transaction_id} {amount:?}");
    }
    let path = format!("/points/1/transactions/{id}/cancellation");
    for body in
        [json!({}), json!({ "reason": "" }), json!({ "reason": "x", "amount": "y" }), json!({ "reason": 1 })]
    {
        assert_eq!(service.post(&path, &body).await.problem(), (422, "invalid-request"), "{body}");
    }
    assert_eq!(service.get(&path).await.problem(), (405, "method-not-allowed"));
    assert_eq!(service.snapshot().await, before);
}

/// 20 workers, 500 transactions over 80 accounts, each of which is cancelled twice at the same time: through two
/// instances, so that nothing but Postgres keeps the two apart.
#[tokio::test]
async fn of_two_cancellations_at_the_same_time_exactly_one_succeeds() {
    const ACCOUNTS: i64 = 80;
    let service = Service::start().await;
    let other_instance = service.at(now);
    for member_id in 1..=ACCOUNTS {
        let membership = Membership::of(member_id);
        service.deliver(membership.is(Ready, 1)).await;
        service.deliver(membership.is(Normal, 2)).await;
    }
    let worker = async |worker: u64| -> (usize, usize) {
        let mut random = StdRng::seed_from_u64(worker);
        let (mut succeeded, mut refused) = (0, 0);
        for number in 0..25 {
            let member_id = random.random_range(1..=ACCOUNTS);
            let change_type = if random.random_bool(0.5) { "EARN" } else { "USE" };
            let body = transaction(change_type, random.random_range(1..=20), &format!("{worker}-{number}"));
            let id = service.transact(member_id, &body).await;
            let (one, other) =
                tokio::join!(service.cancel(member_id, id, None), other_instance.cancel(member_id, id, None));
            for answer in [one, other] {
                // Nobody spends the points of an earning: those for joining are burnt first, and suffice.
                if answer.status == 201 {
                    succeeded += 1;
                } else {
                    assert_eq!(answer.problem(), (409, "already-cancelled"));
                    refused += 1;
                }
            }
        }
        (succeeded, refused)
    };
    let outcomes = join_all((0..20).map(worker)).await;
    let sums = outcomes.iter().fold((0, 0), |sum, outcome| (sum.0 + outcome.0, sum.1 + outcome.1));
    assert_eq!(sums, (500, 500));
    service.assert_books_are_right().await;
    let balances: Vec<i64> = sqlx::query_scalar("SELECT balance FROM account")
        .fetch_all(&service.pool)
        .await
        .expect("the balances");
    assert_eq!(balances, [1_000; 80], "everything was taken back");
    assert!(service.lots(1).await.iter().all(|(_, expires_at)| *expires_at > now()));
}
