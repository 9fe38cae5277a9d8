//! `/points/{memberId}/transactions` and `/adjustments`: what a shop books, and what can be seen of it.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use shared_events::event::MemberStatus::{Abnormal, Normal, Ready};

use crate::support::{Membership, Service};

const PATH: &str = "/points/1/transactions";

async fn service() -> Service {
    Service::with_normal_member(Membership::of(1)).await
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn earn(amount: i64, reference: &str) -> Value {
    json!({ "type": "EARN", "amount": amount, "reference": reference })
}

fn spend(amount: i64, reference: &str) -> Value {
    json!({ "type": "USE", "amount": amount, "reference": reference })
}

#[tokio::test]
async fn what_is_answered_at_once_and_what_is_read_later_say_the_same_time() {
    let service = service().await;
    let mut earning = earn(10, "R-1");
    earning["expiresAt"] = "2026-05-01T00:00:00.123456789Z".into();
    let answer = service.post(PATH, &earning).await;
    assert_eq!(answer.body["lots"][0]["expiresAt"], "2026-05-01T00:00:00.123456Z");
    let id = answer.number("transactionId");
    assert_eq!(service.get(&format!("{PATH}/{id}")).await.body, answer.body);
}

#[tokio::test]
async fn an_earning_makes_a_lot_and_is_told_with_its_location() {
    let service = service().await;
    let answer = service
        .post(PATH, &json!({ "type": "EARN", "amount": "530", "reference": "R-1", "reason": "lunch" }))
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = answer.number("transactionId");
    let link = format!("http://point.test{PATH}/{id}");
    assert_eq!(answer.header("location"), Some(link.as_str()));
    let mut body = answer.body.clone();
    assert!(body["lots"][0]["lotId"].take().is_i64());
    assert_eq!(
        body,
        json!({
            "transactionId": id, "memberId": 1, "type": "EARN", "amount": 530, "remainPoint": 1530,
            "reference": "R-1", "reason": "lunch", "refersTo": null, "actor": "operator",
            "occurredAt": "2026-03-04T05:06:07Z",
            "lots": [{ "lotId": null, "points": 530, "expiresAt": "2031-03-31T15:00:00Z" }],
            "_links": { "self": { "href": link }, "transaction": { "href": link } },
        })
    );
    assert_eq!(service.get(&format!("{PATH}/{id}")).await.body, answer.body);
    let published = service.published(1).await;
    let event = published.last().expect("an event");
    assert_eq!((event.event_type.as_str(), &event.payload["transactionId"]), ("PointsEarned", &json!(id)));
    assert_eq!(
        (&event.payload["reference"], &event.payload["lots"][0]["points"]),
        (&json!("R-1"), &json!(530))
    );
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn a_use_burns_what_expires_soonest_and_says_which_lot_paid_what() {
    let service = service().await;
    let soon = "2026-04-01T00:00:00Z";
    let mut first = earn(100, "R-1");
    first["expiresAt"] = soon.into();
    service.transact(1, &first).await;

    let answer = service.post(PATH, &spend(150, "R-2")).await;
    assert_eq!((answer.number("amount"), answer.number("remainPoint")), (-150, 950));
    let lots: Vec<(i64, &str)> = answer.body["lots"]
        .as_array()
        .expect("lots")
        .iter()
        .map(|lot| (lot["points"].as_i64().expect("points"), lot["expiresAt"].as_str().expect("a time")))
        .collect();
    assert_eq!(lots, [(-100, soon), (-50, "2031-03-31T15:00:00Z")]);
    assert_eq!(service.lots(1).await, [(950, time("2031-03-31T15:00:00Z"))]);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn a_receipt_counts_once_for_each_of_earning_and_using() {
    let service = service().await;
    service.transact(1, &earn(100, "R-1")).await;
    service.transact(1, &spend(50, "R-1")).await;
    let before = service.snapshot().await;
    for again in [earn(100, "R-1"), spend(7, "R-1")] {
        let answer = service.post(PATH, &again).await;
        assert_eq!(answer.problem(), (409, "reference-taken"));
        assert_eq!(answer.pointers(), ["/reference"]);
    }
    assert_eq!(service.snapshot().await, before);
    // Another member's receipts are another's.
    let other = Membership::of(2);
    service.deliver(other.is(Ready, 1)).await;
    service.deliver(other.is(Normal, 2)).await;
    service.transact(2, &earn(100, "R-1")).await;
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn the_history_is_paged_newest_first_and_filtered() {
    let service = service().await;
    let mut ids = Vec::new();
    for number in 1..=5 {
        ids.push(service.transact(1, &earn(number, &format!("E-{number}"))).await);
        ids.push(service.transact(1, &spend(number, &format!("U-{number}"))).await);
    }
    let signup = ids[0] - 1;
    ids.insert(0, signup);
    ids.reverse();
    let page = async |path: &str| -> (Vec<i64>, Option<String>) {
        let answer = service.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let found = answer.body["_embedded"]["transactions"].as_array().expect("transactions").clone();
        let ids = found.iter().map(|it| it["transactionId"].as_i64().expect("an id")).collect();
        let next = answer.body["_links"]["next"]["href"].as_str();
        (ids, next.map(|href| href.trim_start_matches("http://point.test").to_owned()))
    };
    let mut seen = Vec::new();
    let mut next = Some(format!("{PATH}?limit=4"));
    while let Some(path) = next {
        let (found, following) = page(&path).await;
        assert!(found.len() <= 4);
        seen.extend(found);
        next = following;
    }
    assert_eq!(seen, ids);

    let (uses, next) = page(&format!("{PATH}?type=USE&limit=2")).await;
    assert_eq!(uses, [ids[0], ids[2]]);
    assert_eq!(page(&next.expect("more")).await.0, [ids[4], ids[6]]);
    assert_eq!(page(&format!("{PATH}?type=SIGNUP")).await.0, [signup]);
    for (query, count) in [
        ("from=2026-03-04T05:06:07Z", 11),
        ("from=2026-03-04T05:06:08Z", 0),
        ("to=2026-03-04T05:06:07Z", 0),
        ("to=2026-03-04T14:06:08%2B09:00", 11),
        ("from=2026-03-04T14:06:07%2B09:00&limit=3", 3),
    ] {
        assert_eq!(page(&format!("{PATH}?{query}")).await.0.len(), count, "{query}");
    }
    let (_, next) = page(&format!("{PATH}?from=2026-03-04T14:06:07%2B09:00&limit=3")).await;
    assert_eq!(page(&next.expect("more")).await.0.len(), 3, "a link repeats what was asked for");
}

#[tokio::test]
async fn the_balance_shows_what_expires_when() {
    let service = service().await;
    for (amount, expires_at) in
        [(10, "2026-03-20T00:00:00Z"), (20, "2026-03-20T00:00:00Z"), (40, "2026-05-01T00:00:00Z")]
    {
        let mut earning = earn(amount, &format!("R-{amount}"));
        earning["expiresAt"] = expires_at.into();
        service.transact(1, &earning).await;
    }
    let body = service.get("/points/1").await.body;
    assert_eq!((&body["remainPoint"], &body["expiringSoon"]), (&json!(1_070), &json!(30)));
    assert_eq!(
        body["expirations"],
        json!([
            { "points": 30, "expiresAt": "2026-03-20T00:00:00Z" },
            { "points": 40, "expiresAt": "2026-05-01T00:00:00Z" },
            { "points": 1_000, "expiresAt": "2031-03-31T15:00:00Z" },
        ])
    );
}

#[tokio::test]
async fn an_operator_adjusts_a_balance_whatever_the_status() {
    let service = Service::start().await;
    let membership = Membership::of(1);
    service.deliver(membership.is(Abnormal, 1)).await;
    let added = service.post("/points/1/adjustments", &json!({ "amount": 70, "reason": "sorry" })).await;
    assert_eq!((added.status.as_u16(), added.number("remainPoint")), (201, 70), "{added:?}");
    let taken = service.post("/points/1/adjustments", &json!({ "amount": -30, "reason": "mistake" })).await;
    assert_eq!((taken.number("amount"), taken.number("remainPoint")), (-30, 40));
    let more = service.post("/points/1/adjustments", &json!({ "amount": -41, "reason": "x" })).await;
    assert_eq!(more.problem(), (422, "insufficient-points"));
    let types: Vec<_> = service.published(1).await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(types, ["PointsAdjusted", "PointsAdjusted"]);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn a_dry_run_tells_what_would_happen_and_writes_nothing() {
    let service = service().await;
    let id = service.transact(1, &spend(300, "R-1")).await;
    let before = service.snapshot().await;
    for (path, body, remain_point) in [
        (PATH.to_owned(), earn(5, "R-2"), 705),
        (PATH.to_owned(), spend(700, "R-2"), 0),
        (format!("{PATH}/{id}/cancellation"), json!({ "amount": 100, "reason": "x" }), 800),
        ("/points/1/adjustments".to_owned(), json!({ "amount": 9, "reason": "x" }), 709),
    ] {
        let answer = service.post(&format!("{path}?dryRun=true"), &body).await;
        assert_eq!((answer.status.as_u16(), answer.number("remainPoint")), (200, remain_point), "{path}");
        assert_eq!((&answer.body["transactionId"], answer.header("location")), (&Value::Null, None));
    }
    for (path, body, expected) in [
        (PATH, spend(701, "R-2"), (422, "insufficient-points")),
        (PATH, spend(1, "R-1"), (409, "reference-taken")),
    ] {
        let answer = service.post(&format!("{path}?dryRun=true"), &body).await;
        assert_eq!(answer.problem(), expected, "as it would be");
    }
    assert_eq!(service.snapshot().await, before);
}

#[tokio::test]
async fn what_is_wrong_with_a_transaction_is_named_and_changes_nothing() {
    let service = service().await;
    let id = service.transact(1, &earn(100, "R-1")).await;
    let before = service.snapshot().await;
    let long = "x".repeat(201);
    for (change, pointer) in [
        (json!({ "amount": 0 }), "/amount"),
        (json!({ "amount": -1 }), "/amount"),
        (json!({ "amount": 9_007_199_254_740_992_i64 }), "/amount"),
        (json!({ "amount": 9_007_199_254_740_991_i64 }), "/amount"),
        (json!({ "amount": "x" }), "/amount"),
        (json!({ "amount": null }), "/amount"),
        (json!({ "type": "SIGNUP" }), "/type"),
        (json!({ "type": "earn" }), "/type"),
        (json!({ "type": null }), "/type"),
        (json!({ "reference": "" }), "/reference"),
        (json!({ "reference": "  " }), "/reference"),
        (json!({ "reference": "a\u{0}b" }), "/reference"),
        (json!({ "reference": long }), "/reference"),
        (json!({ "reference": 7 }), "/reference"),
        (json!({ "reason": long }), "/reason"),
        (json!({ "expiresAt": "2026-03-04T05:06:07Z" }), "/expiresAt"),
        (json!({ "expiresAt": "1999-01-01T00:00:00Z" }), "/expiresAt"),
        (json!({ "expiresAt": "2926-03-04T05:06:07Z" }), "/expiresAt"),
        (json!({ "expiresAt": "tomorrow" }), "/expiresAt"),
        (json!({ "expiresAt": "2026-13-04T05:06:07Z" }), "/expiresAt"),
        (json!({ "type": "USE", "expiresAt": "2027-01-01T00:00:00Z" }), "/expiresAt"),
        (json!({ "remainPoint": 1_000_000 }), "/remainPoint"),
    ] {
        let mut body = earn(5, "R-2");
        for (name, value) in change.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let answer = service.post(PATH, &body).await;
        assert_eq!(answer.problem(), (422, "invalid-request"), "{change}");
        assert_eq!(answer.pointers(), [pointer], "{change}");
    }
    let several = service.post(PATH, &json!({ "type": "EARN", "amount": 0, "reference": "" })).await;
    assert_eq!(several.pointers(), ["/amount", "/reference"]);
    for (path, body, expected) in [
        ("/points/2/transactions", earn(5, "R-2"), (404, "account-not-found")),
        ("/points/1/adjustments", json!({ "amount": 0, "reason": "x" }), (422, "invalid-request")),
        ("/points/1/adjustments", json!({ "amount": 5 }), (422, "invalid-request")),
        ("/points/1/adjustments", json!({ "amount": 5, "reason": "" }), (422, "invalid-request")),
        (
            "/points/1/adjustments?dryRun=perhaps",
            json!({ "amount": 5, "reason": "x" }),
            (422, "invalid-request"),
        ),
        ("/points/x/adjustments", json!({ "amount": 5, "reason": "x" }), (400, "malformed-request")),
    ] {
        assert_eq!(service.post(path, &body).await.problem(), expected, "{path} {body}");
    }
    for body in ["", "{", "[]", "null", "{\"type\":\"EARN\"} x"] {
        let status = service.post_text(PATH, body).await.problem().0;
        assert!([400, 422].contains(&status), "{body}");
    }
    for (query, pointer) in [
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=100000", "/limit"),
        ("limit=x", "/limit"),
        ("after=0", "/after"),
        ("after=-1", "/after"),
        ("after=eyJpZCI6MX0", "/after"),
        ("type=earn", "/type"),
        ("type=", "/type"),
        ("from=yesterday", "/from"),
        ("to=2026-02-30T00:00:00Z", "/to"),
    ] {
        let answer = service.get(&format!("{PATH}?{query}")).await;
        assert_eq!(answer.problem(), (422, "invalid-request"), "{query}");
        assert_eq!(answer.pointers(), [pointer], "{query}");
    }
    let forged = service.get(&format!("{PATH}?after=9223372036854775807")).await;
    assert_eq!(forged.status, 200, "only what is before it");
    for (path, expected) in [
        (format!("{PATH}/{}", id + 1_000), (404, "transaction-not-found")),
        (format!("{PATH}/0"), (404, "transaction-not-found")),
        (format!("{PATH}/9223372036854775807"), (404, "transaction-not-found")),
        (format!("{PATH}/x"), (400, "malformed-request")),
        (format!("/points/2/transactions/{id}"), (404, "account-not-found")),
        ("/points/2/transactions".to_owned(), (404, "account-not-found")),
    ] {
        assert_eq!(service.get(&path).await.problem(), expected, "{path}");
    }
    assert_eq!(service.snapshot().await, before);
}

#[tokio::test]
async fn a_transaction_is_seen_under_its_own_membership_only() {
    let former = Membership::of(1);
    let service = Service::with_normal_member(former).await;
    service.deliver(Membership::of(2).is(Normal, 1)).await;
    let id = service.transact(1, &earn(5, "R-1")).await;
    assert_eq!(service.get(&format!("{PATH}/{id}")).await.status, 200);
    let of_other = service.get(&format!("/points/2/transactions/{id}")).await;
    assert_eq!(of_other.problem(), (404, "transaction-not-found"));

    service.forfeit(former).await;
    service.deliver(Membership::of(1).is(Normal, 9)).await;
    let of_next = service.get(&format!("{PATH}/{id}")).await;
    assert_eq!(of_next.problem(), (404, "transaction-not-found"));
    for member_id in [1, 2] {
        let list = service.get(&format!("/points/{member_id}/transactions")).await;
        let types = list.body["_embedded"]["transactions"].as_array().expect("transactions").iter();
        let types: Vec<_> = types.map(|transaction| &transaction["type"]).collect();
        assert_eq!(types, ["SIGNUP"], "{member_id}");
    }
}

#[tokio::test]
async fn members_who_are_not_normal_neither_earn_nor_use() {
    for (status, retries) in [(Ready, true), (Abnormal, false)] {
        let service = Service::start().await;
        service.deliver(Membership::of(1).is(status, 1)).await;
        for body in [earn(5, "R-1"), spend(5, "R-2")] {
            let answer = service.post(PATH, &body).await;
            assert_eq!(answer.problem(), (409, "member-not-normal"));
            assert_eq!(answer.header("retry-after").is_some(), retries);
        }
    }
}
