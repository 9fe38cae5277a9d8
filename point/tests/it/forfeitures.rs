//! `/forfeitures/{memberId}`: the pivot of a withdrawal.

use std::time::{Duration, Instant};

use serde_json::json;
use shared_events::delivery::Outcome;
use shared_events::event::MemberStatus::{Abnormal, Normal};

use crate::support::{Membership, Service, entries, now, request};

#[tokio::test]
async fn what_is_left_is_forfeited_once_however_often_it_is_asked() {
    let membership = Membership::of(1);
    let service = Service::with_normal_member(membership).await;
    service.change(1, -200).await;

    for _ in 0..3 {
        let answer = service.forfeit(membership).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, json!({ "memberId": 1, "forfeitedPoint": 800, "remainPoint": 0 }));
    }

    assert_eq!(
        entries(&service.ledger(membership).await),
        [("SIGNUP", 1000, 1000), ("USE", -200, 800), ("FORFEIT", -800, 0)]
    );
    let published = service.published(1).await;
    let forfeitures: Vec<_> =
        published.iter().filter(|event| event.event_type == "PointsForfeited").collect();
    assert_eq!(forfeitures.len(), 1);
    assert_eq!(
        forfeitures[0].payload,
        json!({
            "memberId": 1, "membershipId": membership.id, "amount": 800, "remainPoint": 0, "occurredAt": now(),
            "transactionId": 3, "lots": [{ "lotId": 1, "points": -800, "expiresAt": "2031-03-31T15:00:00Z" }],
        })
    );
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn a_drill_slows_forfeitures_down_and_nothing_else() {
    let membership = Membership::of(1);
    let service = Service::start_with_delay(Some("600..700".parse().unwrap())).await;
    service.deliver(membership.is(Normal, 1)).await;
    let began = Instant::now();
    let forfeiting = async {
        assert_eq!(service.forfeit(membership).await.body["forfeitedPoint"], 1_001);
        began.elapsed()
    };
    let meanwhile = async {
        tokio::task::yield_now().await;
        assert_eq!(service.change(1, 1).await.status, 200);
        began.elapsed()
    };

    let (forfeited_after, changed_after) = tokio::join!(forfeiting, meanwhile);

    assert!(forfeited_after >= Duration::from_millis(600) && changed_after < forfeited_after);
}

#[tokio::test]
async fn a_closed_account_is_not_found_and_absorbs_everything() {
    let membership = Membership::of(1);
    let service = Service::with_normal_member(membership).await;
    service.forfeit(membership).await;
    let before = service.snapshot().await;

    assert_eq!(service.get("/points/1").await.problem(), (404, "account-not-found"));
    assert_eq!(service.change(1, 1).await.problem(), (404, "account-not-found"));
    assert_eq!(service.change(1, -1).await.problem(), (404, "account-not-found"));
    service.deliver(membership.is(Normal, 3)).await;

    assert_eq!(service.snapshot().await, before);
}

#[tokio::test]
async fn an_account_with_nothing_on_it_is_closed_and_said_so_without_an_entry() {
    let membership = Membership::of(2);
    let service = Service::start().await;
    service.deliver(membership.is(Abnormal, 2)).await;

    let answer = service.forfeit(membership).await;

    assert_eq!((answer.status.as_u16(), answer.number("forfeitedPoint")), (200, 0));
    assert_eq!(service.ledger(membership).await, []);
    let published = service.published(2).await;
    assert_eq!(published.len(), 1);
    assert_eq!(
        (published[0].event_type.as_str(), &published[0].payload["amount"]),
        ("PointsForfeited", &json!(0))
    );
    assert_eq!(service.get("/points/2").await.status, 404);
}

#[tokio::test]
async fn an_unknown_membership_gets_a_closed_account_once() {
    let membership = Membership::of(1);
    let service = Service::start().await;

    for _ in 0..2 {
        let answer = service.forfeit(membership).await;
        assert_eq!(answer.body, json!({ "memberId": 1, "forfeitedPoint": 0, "remainPoint": 0 }));
    }

    assert_eq!(service.published(1).await.len(), 1);
    assert_eq!(service.get("/points/1").await.status, 404);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn an_unknown_membership_beside_an_open_account_ends_untold() {
    let (open, unknown) = (Membership::of(1), Membership::of(1));
    let service = Service::with_normal_member(open).await;
    let before = service.published(1).await;

    for _ in 0..2 {
        let answer = service.forfeit(unknown).await;
        assert_eq!(answer.body, json!({ "memberId": 1, "forfeitedPoint": 0, "remainPoint": 0 }));
    }

    assert_eq!(service.published(1).await, before);
    assert_eq!(service.deliver(unknown.is(Normal, 99)).await, Outcome::Stale);
    assert_eq!(service.change(1, 5).await.number("remainPoint"), 1005);
    assert_eq!(service.forfeit(open).await.number("forfeitedPoint"), 1005);
    let versions: Vec<_> = service.published(1).await.iter().map(|event| event.sequence).collect();
    assert_eq!(versions, [1, 2, 3]);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn the_membership_of_another_member_is_refused() {
    let membership = Membership::of(1);
    let service = Service::with_normal_member(membership).await;
    let before = service.snapshot().await;

    let answer = service.forfeit(Membership { member_id: 2, ..membership }).await;

    assert_eq!(answer.problem(), (409, "membership-of-other-member"));
    assert_eq!(service.snapshot().await, before);
    assert_eq!(service.get("/points/1").await.number("remainPoint"), 1000);
}

#[tokio::test]
async fn the_actor_that_member_forwards_is_recorded_with_entry_and_event() {
    let longest = "x".repeat(128);
    for actor in ["member:1", "shop:a/b~c", &longest] {
        assert_eq!(actor_of_forfeiture(Some(actor)).await, [actor, actor]);
    }
}

#[tokio::test]
async fn without_a_forwarded_actor_or_with_an_implausible_one_it_is_who_called() {
    let too_long = "x".repeat(129);
    for actor in [None, Some(""), Some("member 1"), Some("member:\u{e9}"), Some(too_long.as_str())] {
        assert_eq!(actor_of_forfeiture(actor).await, ["operator", "operator"], "{actor:?}");
    }
}

/// Forfeits with `x-actor`, and returns the actors of the ledger entry and of the event.
async fn actor_of_forfeiture(x_actor: Option<&str>) -> [String; 2] {
    let membership = Membership::of(1);
    let service = Service::with_normal_member(membership).await;
    let request = request("PUT", "/forfeitures/1", Some("application/json"));
    let request = match x_actor {
        Some(actor) => request.header("x-actor", actor),
        None => request,
    };
    let body = json!({ "membershipId": membership.id }).to_string();

    let answer = service.send_internal(request.body(body.into()).expect("a request")).await;

    assert_eq!(answer.number("forfeitedPoint"), 1000);
    let actors: (String, String) = sqlx::query_as(
        "SELECT (SELECT actor FROM ledger_entry WHERE type = 'FORFEIT'),
                (SELECT actor FROM outbox WHERE type = 'PointsForfeited')",
    )
    .fetch_one(&service.pool)
    .await
    .expect("one entry and one event");
    actors.into()
}

#[tokio::test]
async fn a_body_that_does_not_fit_forfeits_nothing() {
    let membership = Membership::of(1);
    let service = Service::with_normal_member(membership).await;
    let before = service.snapshot().await;
    let id = membership.id;

    for (body, status, code, pointer) in [
        (String::new(), 400, "malformed-request", None),
        ("{".to_owned(), 400, "malformed-request", None),
        ("{}".to_owned(), 422, "invalid-request", Some("/membershipId")),
        (r#"{"membershipId":"7"}"#.to_owned(), 422, "invalid-request", Some("/membershipId")),
        (r#"{"membershipId":7}"#.to_owned(), 422, "invalid-request", Some("/membershipId")),
        (format!(r#"{{"membershipId":"{id}","amount":1}}"#), 422, "invalid-request", Some("/amount")),
    ] {
        let answer = service.put_forfeiture(1, body.clone()).await;
        assert_eq!(answer.problem(), (status, code), "{body}");
        assert_eq!(answer.pointer(), pointer, "{body}");
    }
    let answer = service.put_forfeiture(0, format!(r#"{{"membershipId":"{id}"}}"#)).await;
    assert_eq!(answer.problem(), (400, "malformed-request"));

    assert_eq!(service.snapshot().await, before);
}
