//! `Idempotency-Key`: a command that is sent again takes effect once.

use axum::body::Body;
use axum::http::Request;
use chassis::idempotency::purge;
use chassis::testing::Answer;
use futures::future::join_all;
use serde_json::{Value, json};
use shared_events::event::MemberStatus;

use crate::support::{Membership, Service, request};

async fn service() -> Service {
    Service::with_normal_member(Membership::of(1)).await
}

fn keyed(line: (&str, &str), key: &str, body: &Value) -> Request<Body> {
    let request = request(line.0, line.1, Some("application/json")).header("idempotency-key", key);
    request.body(Body::from(body.to_string())).expect("a request")
}

async fn send(service: &Service, line: (&str, &str), key: &str, body: &Value) -> Answer {
    service.send(keyed(line, key, body)).await
}

fn is_hit(answer: &Answer) -> bool {
    answer.header("idempotency-hit") == Some("true")
}

const EARN: (&str, &str) = ("POST", "/points/1/transactions");
const PATCH: (&str, &str) = ("PATCH", "/points/1");

fn earning(reference: &str) -> Value {
    json!({ "type": "EARN", "amount": 5, "reference": reference })
}

#[tokio::test]
async fn each_command_takes_effect_once_and_is_answered_the_same_again() {
    let service = service().await;
    let used = service.transact(1, &json!({ "type": "USE", "amount": 9, "reference": "U-1" })).await;
    let cancellation = format!("/points/1/transactions/{used}/cancellation");
    for (key, line, body) in [
        ("1", EARN, earning("R-1")),
        ("2", PATCH, json!({ "requirePoint": 7 })),
        ("3", PATCH, json!({ "requirePoint": -3 })),
        ("4", ("POST", cancellation.as_str()), json!({ "amount": 4, "reason": "x" })),
        ("5", ("POST", "/points/1/adjustments"), json!({ "amount": 2, "reason": "x" })),
    ] {
        let first = send(&service, line, key, &body).await;
        assert!(first.status.is_success() && !is_hit(&first), "{first:?}");
        let after = service.snapshot().await;
        for _ in 0..2 {
            let again = send(&service, line, key, &body).await;
            assert!(is_hit(&again), "{line:?}: {again:?}");
            assert_eq!((again.status, &again.body), (first.status, &first.body));
            for header in ["location", "content-type"] {
                assert_eq!(again.header(header), first.header(header));
            }
        }
        assert_eq!(service.snapshot().await, after, "{line:?}");
    }
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn a_key_that_comes_with_another_body_is_refused() {
    let service = service().await;
    assert_eq!(send(&service, PATCH, "k", &json!({ "requirePoint": 7 })).await.status, 200);
    let before = service.snapshot().await;
    let other = send(&service, PATCH, "k", &json!({ "requirePoint": 8 })).await;
    assert_eq!(other.problem(), (422, "idempotency-key-reused"));
    assert_eq!(service.snapshot().await, before);
}

#[tokio::test]
async fn a_key_counts_for_its_own_member_and_method() {
    let service = service().await;
    let other = Membership::of(2);
    service.deliver(other.is(MemberStatus::Normal, 1)).await;
    let body = json!({ "requirePoint": 7 });
    for path in ["/points/1", "/points/2"] {
        let answer = send(&service, ("PATCH", path), "k", &body).await;
        assert!(answer.status == 200 && !is_hit(&answer), "{answer:?}");
    }
    assert!(!is_hit(&send(&service, EARN, "k", &earning("R-1")).await));
    assert!(is_hit(&send(&service, PATCH, "\"k\"", &body).await), "quoted or bare is the same");
}

#[tokio::test]
async fn what_the_rules_refused_is_refused_the_same_again_whatever_has_happened_since() {
    let service = service().await;
    let transactions = service.get("/points/1/transactions").await.body;
    let signup = transactions["_embedded"]["transactions"][0]["transactionId"].as_i64().expect("an id");
    service.transact(1, &earning("R-1")).await;
    let cancellation = |id: i64| format!("/points/1/transactions/{id}/cancellation");
    let (of_signup, of_nothing) = (cancellation(signup), cancellation(404));
    let reason = json!({ "reason": "x" });
    let using = json!({ "type": "USE", "amount": 1_006, "reference": "U-1" });
    let commands = [
        ("1", PATCH, json!({ "requirePoint": -1_006 }), (422, "insufficient-points")),
        ("2", EARN, using, (422, "insufficient-points")),
        ("3", EARN, earning("R-1"), (409, "reference-taken")),
        ("4", ("POST", of_signup.as_str()), reason.clone(), (422, "not-cancellable")),
        ("5", ("POST", of_nothing.as_str()), reason, (404, "transaction-not-found")),
        (
            "6",
            ("POST", "/points/1/adjustments"),
            json!({ "amount": -1_006, "reason": "x" }),
            (422, "insufficient-points"),
        ),
    ];
    let before = service.snapshot().await;
    let mut refusals = Vec::new();
    for (key, line, body, problem) in &commands {
        let refused = send(&service, *line, key, body).await;
        assert!(refused.problem() == *problem && !is_hit(&refused), "{line:?}: {refused:?}");
        refusals.push(refused);
    }
    assert_eq!(service.snapshot().await, before);

    service.change(1, 500).await;
    let before = service.snapshot().await;
    for ((key, line, body, _), refused) in commands.iter().zip(refusals) {
        let again = send(&service, *line, key, body).await;
        assert!(is_hit(&again), "{line:?}: {again:?}");
        assert_eq!((again.status, &again.body), (refused.status, &refused.body), "{line:?}");
        assert_eq!(again.header("content-type"), refused.header("content-type"));
    }
    let other = send(&service, PATCH, "1", &json!({ "requirePoint": -1 })).await;
    assert_eq!(other.problem(), (422, "idempotency-key-reused"));
    assert_eq!(service.snapshot().await, before);
    let anew = send(&service, PATCH, "another", &json!({ "requirePoint": -1_006 })).await;
    assert!(anew.status == 200 && !is_hit(&anew), "{anew:?}");
}

#[tokio::test]
async fn what_was_not_decided_is_not_remembered() {
    let service = Service::start().await;
    let member = Membership::of(1);
    let body = json!({ "requirePoint": 7 });
    assert_eq!(send(&service, PATCH, "k", &body).await.problem(), (404, "account-not-found"));
    service.deliver(member.is(MemberStatus::Ready, 1)).await;
    let not_yet = send(&service, PATCH, "k", &body).await;
    assert_eq!(not_yet.problem(), (409, "member-not-normal"));
    assert!(not_yet.header("retry-after").is_some());
    service.deliver(member.is(MemberStatus::Normal, 2)).await;
    let mut conditional = keyed(PATCH, "k", &body);
    conditional.headers_mut().insert("if-match", "\"another state\"".parse().expect("a header"));
    assert_eq!(service.send(conditional).await.problem(), (412, "precondition-failed"));
    assert_eq!(
        send(&service, PATCH, "k", &json!({ "requirePoint": 0 })).await.problem(),
        (422, "invalid-request")
    );
    let done = send(&service, PATCH, "k", &body).await;
    assert!(done.status == 200 && !is_hit(&done), "{done:?}");

    let mut past = earning("R-1");
    past["expiresAt"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(send(&service, EARN, "e", &past).await.problem(), (422, "invalid-request"));
    assert_eq!(send(&service, EARN, "e", &earning("R-1")).await.status, 201);
}

#[tokio::test]
async fn a_dry_run_that_is_refused_is_not_remembered() {
    let service = service().await;
    let using = json!({ "type": "USE", "amount": 1_005, "reference": "U-1" });
    let dry = send(&service, ("POST", "/points/1/transactions?dryRun=true"), "k", &using).await;
    assert_eq!(dry.problem(), (422, "insufficient-points"));
    service.change(1, 5).await;
    assert_eq!(send(&service, EARN, "k", &using).await.status, 201);
}

#[tokio::test]
async fn what_failed_is_not_remembered() {
    let service = service().await;
    let used = service.transact(1, &json!({ "type": "USE", "amount": 20, "reference": "U-1" })).await;
    let cancellation = format!("/points/1/transactions/{used}/cancellation");
    let commands = [
        ("1", EARN, json!({ "type": "EARN", "amount": 13, "reference": "R-1" }), 201),
        ("2", PATCH, json!({ "requirePoint": 13 }), 200),
        ("3", ("POST", cancellation.as_str()), json!({ "amount": 13, "reason": "x" }), 201),
        ("4", ("POST", "/points/1/adjustments"), json!({ "amount": 13, "reason": "x" }), 201),
    ];
    service.as_owner("ALTER TABLE ledger_entry ADD CONSTRAINT unlucky CHECK (amount <> 13)").await;
    let before = service.snapshot().await;
    for (key, line, body, _) in &commands {
        for _ in 0..2 {
            let failed = send(&service, *line, key, body).await;
            assert_eq!(failed.problem(), (500, "internal-error"), "{line:?}");
            assert!(!is_hit(&failed), "{line:?}");
        }
    }
    assert_eq!(service.snapshot().await, before);

    service.as_owner("ALTER TABLE ledger_entry DROP CONSTRAINT unlucky").await;
    for (key, line, body, status) in &commands {
        let done = send(&service, *line, key, body).await;
        assert!(done.status == *status && !is_hit(&done), "{line:?}: {done:?}");
        assert!(is_hit(&send(&service, *line, key, body).await), "{line:?}");
    }
    assert_eq!(service.get("/points/1").await.number("remainPoint"), 980 + 4 * 13);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn what_failed_at_the_commit_is_not_remembered() {
    let service = service().await;
    let fails = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
                     'BEGIN RAISE EXCEPTION ''the commit fails''; END';
                 CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON ledger_entry DEFERRABLE INITIALLY DEFERRED
                     FOR EACH ROW EXECUTE FUNCTION fail()";
    sqlx::raw_sql(fails).execute(&mut service.owner().await).await.expect("the trigger");
    let body = json!({ "requirePoint": 7 });
    assert_eq!(send(&service, PATCH, "k", &body).await.problem(), (500, "internal-error"));

    service.as_owner("DROP TRIGGER fail ON ledger_entry").await;
    let done = send(&service, PATCH, "k", &body).await;
    assert!(done.status == 200 && !is_hit(&done), "{done:?}");
    assert_eq!(done.number("remainPoint"), 1_007);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn a_dry_run_neither_takes_nor_leaves_a_key() {
    let service = service().await;
    let dry = ("POST", "/points/1/transactions?dryRun=true");
    for _ in 0..2 {
        assert_eq!(send(&service, dry, "k", &earning("R-1")).await.status, 200);
    }
    assert_eq!(send(&service, EARN, "k", &earning("R-1")).await.status, 201);
    let dry = send(&service, dry, "k", &earning("R-2")).await;
    assert!(dry.status == 200 && !is_hit(&dry));
}

#[tokio::test]
async fn while_a_command_is_carried_out_its_repetition_is_turned_away() {
    let service = service().await;
    let mut held = service.pool.begin().await.expect("a transaction");
    sqlx::query("SELECT FROM account FOR UPDATE").execute(&mut *held).await.expect("the account is held");
    let body = json!({ "requirePoint": 7 });
    let first = send(&service, PATCH, "k", &body);
    let second = async {
        chassis::testing::until("the first waits for the account", async || {
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
                .fetch_one(&service.pool)
                .await
                .expect("the locks")
        })
        .await;
        let second = send(&service, PATCH, "k", &body).await;
        held.rollback().await.expect("the account is free");
        second
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(second.problem(), (409, "request-in-progress"));
    assert!(second.header("retry-after").is_some());
    assert_eq!((first.status.as_u16(), first.number("remainPoint")), (200, 1_007));
    assert!(is_hit(&send(&service, PATCH, "k", &body).await));
}

#[tokio::test]
async fn of_many_at_the_same_time_one_takes_effect() {
    let service = service().await;
    let body = json!({ "requirePoint": 7 });
    for key in ["a", "b", "c"] {
        let answers = join_all((0..12).map(|_| send(&service, PATCH, key, &body))).await;
        let done = answers.iter().filter(|it| it.status == 200 && !is_hit(it)).count();
        assert_eq!(done, 1, "{answers:?}");
        for answer in answers.iter().filter(|it| it.status != 200) {
            assert_eq!(answer.problem(), (409, "request-in-progress"));
        }
    }
    assert_eq!(service.get("/points/1").await.number("remainPoint"), 1_021);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn what_is_no_key_is_refused_and_changes_nothing() {
    let service = service().await;
    let before = service.snapshot().await;
    for key in ["", "\"\"", "\"open", &"k".repeat(256), &"k".repeat(10_000)] {
        let answer = send(&service, PATCH, key, &json!({ "requirePoint": 7 })).await;
        assert_eq!(answer.problem(), (400, "invalid-idempotency-key"), "{key}");
    }
    assert_eq!(service.snapshot().await, before);
    let longest = send(&service, PATCH, &"k".repeat(255), &json!({ "requirePoint": 7 })).await;
    assert_eq!(longest.status, 200);
}

#[tokio::test]
async fn a_command_is_remembered_for_a_day_at_least_and_then_forgotten() {
    let service = service().await;
    let body = json!({ "requirePoint": 7 });
    send(&service, PATCH, "k", &body).await;
    assert_eq!(purge(&service.pool).await.expect("nothing to purge"), 0);
    assert!(is_hit(&send(&service, PATCH, "k", &body).await));
    service.a_day_goes_by_for_keys().await;
    assert_eq!(purge(&service.pool).await.expect("one to purge"), 1);
    assert!(!is_hit(&send(&service, PATCH, "k", &body).await));
}

#[tokio::test]
async fn a_key_of_a_former_membership_is_nothing_to_the_next() {
    let former = Membership::of(1);
    let service = Service::with_normal_member(former).await;
    let first = send(&service, EARN, "k", &earning("R-1")).await;
    assert_eq!(first.status, 201);
    service.forfeit(former).await;
    assert_eq!(send(&service, EARN, "k", &earning("R-1")).await.problem(), (404, "account-not-found"));
    service.deliver(Membership::of(1).is(MemberStatus::Normal, 9)).await;
    let again = send(&service, EARN, "k", &earning("R-1")).await;
    assert!(again.status == 201 && !is_hit(&again), "{again:?}");
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn an_earning_whose_points_have_expired_since_is_answered_the_same_again() {
    fn later() -> chrono::DateTime<chrono::Utc> {
        crate::support::now() + chrono::TimeDelta::hours(2)
    }
    let service = service().await;
    let mut body = earning("R-1");
    body["expiresAt"] = json!(crate::support::now() + chrono::TimeDelta::hours(1));
    let first = send(&service, EARN, "k", &body).await;
    let again = send(&service.at(later), EARN, "k", &body).await;
    assert!(is_hit(&again) && again.body == first.body, "{again:?}");
}
