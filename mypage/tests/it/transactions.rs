//! The latest transactions on a page, and what expires next.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use serde_json::{Value, json};
use shared_events::delivery::Outcome;
use shared_events::event::MemberStatus::Normal;

use crate::support::{Membership, Service, deliver_all_in_tx, now};

async fn with_page(membership: Membership) -> Service {
    let service = Service::start().await;
    service.deliver(membership.joined(1)).await;
    service.deliver(membership.became(Normal, 2)).await;
    service
}

async fn shown(service: &Service) -> Vec<i64> {
    let page = service.get("/mypages/1").await.body;
    let transactions = page["transactions"].as_array().expect("transactions");
    transactions.iter().map(|transaction| transaction["transactionId"].as_i64().expect("an id")).collect()
}

/// How many transactions are stored, shown or not.
async fn kept(service: &Service) -> i64 {
    let kept = sqlx::query_scalar("SELECT count(*) FROM page_transaction");
    kept.fetch_one(&service.pool).await.expect("a count")
}

#[tokio::test]
async fn a_page_shows_a_transaction_and_what_expires_next() {
    let membership = Membership::of(1);
    let service = with_page(membership).await;
    let before = service.get("/mypages/1").await.body;
    assert_eq!((&before["transactions"], &before["nextExpiration"]), (&json!([]), &Value::Null));

    service.deliver(membership.earned_in(7, 1)).await;
    let page = service.get("/mypages/1").await.body;
    assert_eq!(page["nextExpiration"], json!({ "points": 1, "expiresAt": now() }));
    assert_eq!(
        page["transactions"],
        json!([{
            "transactionId": 7, "type": "EARN", "amount": 1, "remainPoint": 1, "reference": "R-7",
            "occurredAt": now(),
        }])
    );
    let list = service.get("/mypages").await.body;
    assert!(list["_embedded"]["mypages"][0].get("transactions").is_none(), "only on the page itself");
}

#[tokio::test]
async fn a_cancellation_goes_under_the_receipt_of_what_it_cancels() {
    let membership = Membership::of(1);
    let service = with_page(membership).await;
    service.deliver(membership.restored_in(8, "R-7", 2)).await;
    let page = service.get("/mypages/1").await.body;
    assert_eq!(
        page["transactions"],
        json!([{
            "transactionId": 8, "type": "USE_CANCEL", "amount": 1, "remainPoint": 2, "reference": "R-7",
            "occurredAt": now(),
        }])
    );
}

#[tokio::test]
async fn the_latest_20_are_shown_newest_first_and_few_more_are_kept() {
    let membership = Membership::of(1);
    let service = with_page(membership).await;
    for number in 1..=45 {
        service.deliver(membership.earned_in(100 + number, number)).await;
        let kept = kept(&service).await;
        assert!(kept == number || (20..30).contains(&kept), "{kept} of {number}");
    }
    assert_eq!(shown(&service).await, (126..=145).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn what_comes_in_one_batch_is_shown_as_one_by_one() {
    let (former, current, other) = (Membership::of(1), Membership::of(1), Membership::of(2));
    let service = with_page(former).await;
    service.deliver(former.earned_in(7, 1)).await;
    let batch = [
        former.earned_in(7, 1),
        other.joined(1),
        former.earned_in(8, 2),
        former.forfeited(2, 3),
        current.joined(4),
        other.earned_in(10, 1),
        current.earned_in(9, 4),
        former.earned_in(8, 2),
    ];
    let mut tx = service.pool.begin().await.expect("a transaction");
    let outcomes = deliver_all_in_tx(&mut tx, &batch).await;
    tx.commit().await.expect("the commit");
    assert_eq!(outcomes[0], Outcome::Stale);
    assert!(outcomes[1..7].iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
    assert_eq!(shown(&service).await, [9]);
    let page = service.get("/mypages/2").await.body;
    assert_eq!((&page["remainPoint"], page["transactions"].as_array().map(Vec::len)), (&json!(1), Some(1)));
    assert_eq!(kept(&service).await, 2);
}

#[tokio::test]
async fn what_comes_again_or_late_is_not_shown_again() {
    let membership = Membership::of(1);
    let service = with_page(membership).await;
    service.deliver(membership.earned_in(7, 1)).await;
    service.deliver(membership.earned_in(8, 2)).await;
    for late in [membership.earned_in(7, 1), membership.earned_in(8, 2)] {
        assert_eq!(service.deliver(late).await, Outcome::Stale);
    }
    assert_eq!(shown(&service).await, [8, 7]);
}

#[tokio::test]
async fn a_membership_starts_with_none_of_the_former() {
    let former = Membership::of(1);
    let service = with_page(former).await;
    service.deliver(former.earned_in(7, 1)).await;
    let current = Membership::of(1);
    service.deliver(current.joined(4)).await;
    assert_eq!(shown(&service).await, Vec::<i64>::new(), "not even before point has told");
    service.deliver(current.earned_in(9, 3)).await;
    assert_eq!(shown(&service).await, [9]);

    service.deliver(current.forfeited(1, 4)).await;
    assert_eq!(shown(&service).await, Vec::<i64>::new());
    assert_eq!(kept(&service).await, 0);
}

#[tokio::test]
async fn a_page_that_the_client_has_is_not_sent_again() {
    let membership = Membership::of(1);
    let service = with_page(membership).await;
    let tag = service.get("/mypages/1").await.header("etag").expect("a tag").to_owned();
    let again = service.get_if("/mypages/1", IF_NONE_MATCH, &tag).await;
    assert_eq!((again.status.as_u16(), again.header("etag")), (304, Some(tag.as_str())));
    assert_eq!(service.get_if("/mypages/1", IF_MATCH, &tag).await.status, 200);
    service.deliver(membership.earned_in(7, 1)).await;
    assert_eq!(service.get_if("/mypages/1", IF_NONE_MATCH, &tag).await.status, 200);
    assert_eq!(service.get_if("/mypages/1", IF_MATCH, &tag).await.problem(), (412, "precondition-failed"));
}
