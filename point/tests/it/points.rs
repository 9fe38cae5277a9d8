//! `/points/{memberId}`.

use axum::body::Body;
use serde_json::json;
use shared_events::event::MemberStatus::{Abnormal, Normal, Ready};

use crate::support::{Membership, Service, entries, now, request};

#[tokio::test]
async fn an_account_is_a_hal_resource() {
    let service = Service::with_normal_member(Membership::of(7)).await;

    let answer = service.get("/points/7").await;

    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/hal+json")));
    let href = json!({ "href": "http://point.test/points/7" });
    assert_eq!(
        answer.body,
        json!({
            "memberId": 7, "memberStatus": "NORMAL", "remainPoint": 1000, "requirePoint": null,
            "expirations": [{ "points": 1000, "expiresAt": "2031-03-31T15:00:00Z" }], "expiringSoon": 0,
            "_links": { "self": href, "point": href },
        })
    );
}

#[tokio::test]
async fn a_member_without_an_account_is_not_found() {
    let service = Service::with_normal_member(Membership::of(7)).await;
    let before = service.snapshot().await;

    for answer in [service.get("/points/8").await, service.change(8, 1).await, service.change(8, -1).await] {
        assert_eq!(answer.problem(), (404, "account-not-found"));
        assert_eq!(answer.body["instance"], "/points/8");
    }
    assert_eq!(service.snapshot().await, before);
}

#[tokio::test]
async fn points_are_earned_and_used() {
    let membership = Membership::of(1);
    let service = Service::with_normal_member(membership).await;

    let earned = service.change(1, 530).await;
    let used = service.change(1, -730).await;

    assert_eq!((earned.status.as_u16(), earned.header("content-type")), (200, Some("application/hal+json")));
    let href = json!({ "href": "http://point.test/points/1" });
    let links = json!({ "self": href, "point": href });
    assert_eq!(
        earned.body,
        json!({
            "memberId": 1, "memberStatus": "NORMAL", "remainPoint": 1530, "requirePoint": 530, "_links": links,
        })
    );
    assert_eq!(
        used.body,
        json!({
            "memberId": 1, "memberStatus": "NORMAL", "remainPoint": 800, "requirePoint": -730, "_links": links,
        })
    );
    assert_eq!(service.get("/points/1").await.number("remainPoint"), 800);
    assert_eq!(
        entries(&service.ledger(membership).await),
        [("SIGNUP", 1000, 1000), ("EARN", 530, 1530), ("USE", -730, 800)]
    );
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn all_that_remains_can_be_used() {
    let service = Service::with_normal_member(Membership::of(1)).await;

    assert_eq!(service.change(1, -1000).await.number("remainPoint"), 0);
    assert_eq!(service.get("/points/1").await.number("remainPoint"), 0);
}

#[tokio::test]
async fn what_happened_is_published_with_the_state_after_it() {
    let membership = Membership::of(1);
    let service = Service::with_normal_member(membership).await;
    service.change(1, 530).await;
    service.change(1, -730).await;

    let published = service.published(1).await;

    let membership_id = membership.id;
    let common = |id: i64, amount: i64, remain_point: i64, lot: (i64, i64)| {
        json!({
            "memberId": 1, "membershipId": membership_id, "amount": amount, "remainPoint": remain_point,
            "occurredAt": now(), "transactionId": id, "reference": null,
            "lots": [{ "lotId": lot.0, "points": lot.1, "expiresAt": "2031-03-31T15:00:00Z" }],
            "nextExpiration": { "points": remain_point, "expiresAt": "2031-03-31T15:00:00Z" },
        })
    };
    let earned = |id, amount, remain_point, entry_type: &str| {
        let mut payload = common(id, amount, remain_point, (id, amount));
        payload["entryType"] = entry_type.into();
        payload
    };
    let expected = [
        ("PointsEarned", 1, earned(1, 1000, 1000, "SIGNUP")),
        ("PointsEarned", 2, earned(2, 530, 1530, "EARN")),
        ("PointsUsed", 3, common(3, 730, 800, (1, -730))),
    ];
    let published: Vec<_> = published
        .into_iter()
        .inspect(|event| assert_eq!(event.membership_id, membership_id.0))
        .map(|event| (event.event_type, event.sequence, event.payload))
        .collect();
    assert_eq!(
        published,
        expected.map(|(event_type, version, payload)| (event_type.to_owned(), version, payload))
    );
}

#[tokio::test]
async fn the_actor_and_the_trace_of_a_command_are_stored() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let request = request("PATCH", "/points/1", Some("application/json"))
        .header("traceparent", format!("00-{trace_id}-b7ad6b7169203331-01"))
        .body(Body::from(r#"{"requirePoint":5}"#));
    assert_eq!(service.send(request.expect("a request")).await.status, 200);

    let (entry_actor, event_actor, traceparent): (String, String, String) = sqlx::query_as(
        "SELECT (SELECT actor FROM ledger_entry WHERE type = 'EARN'), actor, traceparent FROM outbox WHERE sequence = 2",
    )
    .fetch_one(&service.pool)
    .await
    .expect("the event");

    assert_eq!((entry_actor.as_str(), event_actor.as_str()), ("operator", "operator"));
    assert_eq!(traceparent.split('-').nth(1), Some(trace_id), "{traceparent}");
}

#[tokio::test]
async fn numbers_may_be_sent_as_strings_and_come_back_as_numbers() {
    let service = Service::with_normal_member(Membership::of(1)).await;

    let earned = service.patch(1, r#"{"requirePoint":"530"}"#).await;
    let used = service.patch(1, r#"{"requirePoint":"-730"}"#).await;

    assert_eq!((&earned.body["requirePoint"], &earned.body["remainPoint"]), (&json!(530), &json!(1530)));
    assert_eq!((&used.body["requirePoint"], &used.body["remainPoint"]), (&json!(-730), &json!(800)));
}

#[tokio::test]
async fn changes_are_refused_for_now_while_the_member_is_ready() {
    let service = Service::start().await;
    service.deliver(Membership::of(1).is(Ready, 1)).await;
    let before = service.snapshot().await;

    for require_point in [100, -50] {
        let answer = service.change(1, require_point).await;

        assert_eq!(answer.problem(), (409, "member-not-normal"));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.body["memberStatus"], "READY");
        assert_eq!((answer.number("remainPoint"), answer.number("requirePoint")), (0, require_point));
    }
    assert_eq!(service.snapshot().await, before);
    let account = service.get("/points/1").await;
    assert_eq!((&account.body["memberStatus"], account.number("remainPoint")), (&json!("READY"), 0));
}

#[tokio::test]
async fn changes_are_refused_for_good_while_the_member_is_abnormal() {
    let membership = Membership::of(2);
    let service = Service::start().await;
    service.deliver(membership.is(Ready, 1)).await;
    service.deliver(membership.is(Abnormal, 2)).await;
    let before = service.snapshot().await;

    for require_point in [100, -50] {
        let answer = service.change(2, require_point).await;

        assert_eq!(answer.problem(), (409, "member-not-normal"));
        assert_eq!(answer.header("retry-after"), None);
        assert_eq!(answer.body["memberStatus"], "ABNORMAL");
        assert_eq!((answer.number("remainPoint"), answer.number("requirePoint")), (0, require_point));
    }
    assert_eq!(service.snapshot().await, before);
}

#[tokio::test]
async fn using_more_than_remains_is_refused() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let before = service.snapshot().await;

    let answer = service.change(1, -1001).await;

    assert_eq!(answer.problem(), (422, "insufficient-points"));
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(answer.body["memberStatus"], "NORMAL");
    assert_eq!((answer.number("remainPoint"), answer.number("requirePoint")), (1000, -1001));
    assert_eq!(service.snapshot().await, before);
}

#[tokio::test]
async fn a_balance_never_passes_2_to_the_53_minus_1() {
    const MAX: i64 = (1 << 53) - 1;
    let service = Service::start().await;
    service.deliver(Membership::of(1).is(Normal, 1)).await;
    let before = service.snapshot().await;

    let answer = service.change(1, MAX - 999).await;

    assert_eq!(answer.problem(), (422, "invalid-request"));
    assert_eq!(answer.pointer(), Some("/requirePoint"));
    assert_eq!((answer.number("remainPoint"), answer.number("requirePoint")), (1000, MAX - 999));
    assert_eq!(service.snapshot().await, before);
    assert_eq!(service.change(1, MAX - 1000).await.number("remainPoint"), MAX);
}

#[tokio::test]
async fn members_do_not_share_accounts() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    service.deliver(Membership::of(2).is(Normal, 1)).await;

    service.change(1, -400).await;

    assert_eq!(service.get("/points/1").await.number("remainPoint"), 600);
    assert_eq!(service.get("/points/2").await.number("remainPoint"), 1000);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn clients_cannot_say_who_they_are() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let request = request("PATCH", "/points/1", Some("application/json")).header("x-actor", "member:9");

    let answer = service.send(request.body(r#"{"requirePoint":1}"#.into()).expect("a request")).await;

    assert_eq!(answer.number("remainPoint"), 1001);
    let actor: String = sqlx::query_scalar("SELECT actor FROM ledger_entry WHERE type = 'EARN'")
        .fetch_one(&service.pool)
        .await
        .expect("the entry");
    assert_eq!(actor, "operator");
}
