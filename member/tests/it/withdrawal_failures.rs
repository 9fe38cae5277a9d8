//! `DELETE /members/{id}` when point or the database fails: "please try again shortly", and never deleted without
//! forfeiting.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use chassis::testing::{Answer, DEADLINE};
use serde_json::{Value, json};
use shared_events::delivery::Outcome;

use crate::support::events::{points_forfeited, summaries};
use crate::support::{Service, StubPoint};

/// A limit on the call that only a silent stub exceeds.
const SHORT: Duration = Duration::from_millis(500);

/// Asserts that the client is asked to try again, and is told what it may find then.
fn assert_try_again(answer: &Answer, outcome: &str) {
    assert_eq!(answer.problem(), (503, "try-again-later"), "{answer:?}");
    let body = &answer.body;
    assert_eq!(body["outcome"], outcome, "{body}");
    assert!(body["detail"].as_str().unwrap().contains("try again shortly"), "{body}");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
}

/// Asserts that a member is as after joining, and nothing was published since.
async fn assert_untouched(service: &Service) {
    assert_eq!(service.status(1).await, "READY");
    assert_eq!(summaries(&service.pool).await, [("MemberJoined".to_owned(), 1)]);
    assert!(service.tombstones().await.is_empty());
}

/// Asserts that each of these points leaves the outcome of a withdrawal unknown and the member there.
async fn assert_unknown(points: &[(String, StubPoint)]) {
    let service = Service::start().await;
    service.join(1).await;
    for (what, point) in points {
        let (database, pool) = (service.database.clone(), service.pool.clone());
        let service = Service::on(database, pool, point.url(), DEADLINE);

        let answer = service.delete(1).await;

        assert_try_again(&answer, "unknown");
        assert_untouched(&service).await;
        assert_tells_no_cause(what, &answer);
    }
}

fn assert_tells_no_cause(what: &str, answer: &Answer) {
    let body = answer.body.to_string();
    for cause in ["127.0.0.1", "forfeitures", "reqwest", "hyper", "secret"] {
        assert!(!body.contains(cause), "{what}: {body}");
    }
}

#[tokio::test]
async fn nothing_has_changed_when_point_is_down() {
    let service = Service::start_with(StubPoint::refused().url()).await;
    service.join(1).await;

    let answer = service.delete(1).await;

    assert_try_again(&answer, "unchanged");
    assert_untouched(&service).await;
    service.join(2).await;
}

#[tokio::test]
async fn the_outcome_is_unknown_when_point_does_not_answer_in_time() {
    let point = StubPoint::holding().await;
    let service = Service::start_with_timeout(point.url(), SHORT).await;
    service.join(1).await;
    let started = Instant::now();

    let answer = service.delete(1).await;

    assert_try_again(&answer, "unknown");
    assert!(started.elapsed() >= SHORT);
    assert!(started.elapsed() < DEADLINE / 3, "{:?}", started.elapsed());
    assert_untouched(&service).await;
}

#[tokio::test]
async fn the_outcome_is_unknown_when_point_answers_with_another_status() {
    let good = json!({ "memberId": 1, "forfeitedPoint": 0, "remainPoint": 0 }).to_string();
    let mut points = Vec::new();
    for status in [500, 502, 503, 504, 201, 202, 204, 302] {
        let status = StatusCode::from_u16(status).unwrap();
        points.push((status.to_string(), StubPoint::answering(status, good.clone()).await));
    }
    assert_unknown(&points).await;
}

#[tokio::test]
async fn nothing_has_changed_when_point_refuses_the_request() {
    for status in [400, 404, 409, 422, 429] {
        let point = StubPoint::answering(StatusCode::from_u16(status).unwrap(), "secret").await;
        let service = Service::start_with(point.url()).await;
        service.join(1).await;

        let answer = service.delete(1).await;

        assert_try_again(&answer, "unchanged");
        assert_untouched(&service).await;
        assert_tells_no_cause("refused", &answer);
    }
}

#[tokio::test]
async fn the_outcome_is_unknown_when_point_answers_with_something_else() {
    let good = json!({ "memberId": 1, "forfeitedPoint": 0, "remainPoint": 0 });
    let with = |name: &str, value: Value| {
        let mut answer = good.clone();
        answer[name] = value;
        answer.to_string()
    };
    let mut points = Vec::new();
    for body in [
        String::new(),
        "<html>secret".to_owned(),
        "{}".to_owned(),
        "null".to_owned(),
        good.to_string()[..20].to_owned(),
        with("memberId", json!(2)),
        with("memberId", json!("1")),
        with("remainPoint", json!(1)),
        with("remainPoint", json!(null)),
    ] {
        let point = StubPoint::answering(StatusCode::OK, body.clone()).await;
        points.push((body, point));
    }
    assert_unknown(&points).await;
}

#[tokio::test]
async fn the_outcome_is_unknown_when_point_resets_the_connection() {
    assert_unknown(&[("reset".to_owned(), StubPoint::resetting().await)]).await;
}

#[tokio::test]
async fn a_withdrawal_of_unknown_outcome_can_be_repeated() {
    let point = StubPoint::holding().await;
    let service = Service::start_with_timeout(point.url(), SHORT).await;
    let membership_id = service.join(1).await;
    assert_try_again(&service.delete(1).await, "unknown");
    point.release();

    assert_eq!(service.delete(1).await.status, 204);

    let forfeitures = point.received(2).await;
    for forfeiture in forfeitures {
        assert_eq!(forfeiture.body, json!({ "membershipId": membership_id }));
    }
}

#[tokio::test]
async fn a_withdrawal_of_unknown_outcome_finishes_by_itself_if_the_points_were_forfeited() {
    let point = StubPoint::holding().await;
    let service = Service::start_with_timeout(point.url(), SHORT).await;
    let membership_id = service.join(1).await;
    assert_try_again(&service.delete(1).await, "unknown");

    let outcome = service.handle(1, points_forfeited(1, membership_id)).await;

    assert_eq!(outcome, Outcome::Applied);
    assert_eq!(service.delete(1).await.problem(), (404, "member-not-found"));
}

#[tokio::test]
async fn the_outcome_is_unknown_when_point_and_then_the_database_fails() {
    let point = StubPoint::holding_back(StatusCode::INTERNAL_SERVER_ERROR, "").await;
    let service = Service::start_with(point.url()).await;
    service.join(1).await;
    let failing = async {
        point.received(1).await;
        service.database.as_owner("ALTER TABLE member RENAME TO elsewhere").await;
        point.release();
    };

    let (answer, ()) = tokio::join!(service.delete(1), failing);

    assert_try_again(&answer, "unknown");
}

#[tokio::test]
async fn the_outcome_is_unknown_when_the_database_fails_after_the_forfeiture() {
    let point = StubPoint::holding().await;
    let service = Service::start_with(point.url()).await;
    let membership_id = service.join(1).await;
    let failing = async {
        point.received(1).await;
        service.database.as_owner("ALTER TABLE tombstone RENAME TO elsewhere").await;
        point.release();
    };

    let (answer, ()) = tokio::join!(service.delete(1), failing);

    assert_try_again(&answer, "unknown");
    service.database.as_owner("ALTER TABLE elsewhere RENAME TO tombstone").await;
    assert_untouched(&service).await;
    let outcome = service.handle(1, points_forfeited(1, membership_id)).await;
    assert_eq!(outcome, Outcome::Applied);
    assert_eq!(service.get("/members/1").await.status, 404);
}
