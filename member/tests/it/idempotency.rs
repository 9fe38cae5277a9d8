//! `Idempotency-Key` at `POST /members`: an application that is sent again makes one member.

use axum::body::Body;
use axum::http::Request;
use chassis::testing::Answer;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Service, StubPoint};

fn applicant(phone_no: &str) -> Value {
    json!({ "phoneNo": phone_no, "nickname": "홍길동" })
}

async fn join(service: &Service, key: &str, body: &Value) -> Answer {
    let request = Request::post("/members")
        .header("host", "test")
        .header("content-type", "application/json")
        .header("idempotency-key", key);
    service.ask(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn an_application_that_comes_again_is_answered_the_same_and_makes_one_member() {
    let service = Service::start_with(StubPoint::forfeiting().await.url()).await;
    let first = join(&service, "k", &applicant("010-8558-1234")).await;
    assert_eq!(first.status, 201, "{first:?}");
    let before = service.counts().await;

    let again = join(&service, "\"k\"", &applicant("010-8558-1234")).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotency-hit"), Some("true"));
    assert_eq!(service.counts().await, before);

    let other = join(&service, "k", &applicant("01085581235")).await;
    assert_eq!(other.problem(), (422, "idempotency-key-reused"));
    let unkeyed = service.post(&applicant("010-8558-1234")).await;
    assert_eq!(unkeyed.problem(), (409, "phone-taken"));

    // Also once the member has withdrawn: it was the answer then.
    assert_eq!(service.delete(first.number("memberId")).await.status, 204);
    assert_eq!(join(&service, "k", &applicant("010-8558-1234")).await.body, first.body);
}

#[tokio::test]
async fn an_application_that_was_refused_is_refused_the_same_again() {
    let service = Service::start_with(StubPoint::forfeiting().await.url()).await;
    let member_id = service.post(&applicant("01085581234")).await.number("memberId");
    let mut of_another = applicant("01085581235");
    of_another["memberId"] = json!(member_id);
    let taken =
        [("1", applicant("01085581234"), (409, "phone-taken")), ("2", of_another, (409, "member-id-taken"))];
    for (key, body, problem) in &taken {
        let refused = join(&service, key, body).await;
        assert_eq!((refused.problem(), refused.header("idempotency-hit")), (*problem, None));
    }
    assert_eq!(service.delete(member_id).await.status, 204);
    let before = service.counts().await;
    for (key, body, problem) in &taken {
        let again = join(&service, key, body).await;
        assert_eq!((again.problem(), again.header("idempotency-hit")), (*problem, Some("true")));
    }
    assert_eq!(service.counts().await, before);
    assert_eq!(join(&service, "3", &applicant("01085581234")).await.status, 201);
}

#[tokio::test]
async fn of_many_at_the_same_time_one_joins_and_nobody_is_told_that_the_number_is_taken() {
    let service = Service::start().await;
    let body = applicant("01085581234");
    let answers = join_all((0..12).map(|_| join(&service, "k", &body))).await;
    let fresh = |answer: &&Answer| answer.status == 201 && answer.header("idempotency-hit").is_none();
    assert_eq!(answers.iter().filter(fresh).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.problem(), (409, "request-in-progress"));
    }
}

#[tokio::test]
async fn what_is_remembered_of_an_application_is_not_personal() {
    let service = Service::start().await;
    join(&service, "01085581234", &applicant("01085581234")).await;
    let rows: Vec<String> = sqlx::query_scalar("SELECT idempotency_key::text FROM idempotency_key")
        .fetch_all(&service.pool)
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].contains("8558") && !rows[0].contains("홍길동"), "{rows:?}");
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let service = Service::start().await;
    for key in ["", "\"", &"k".repeat(256)] {
        let answer = join(&service, key, &applicant("01085581234")).await;
        assert_eq!(answer.problem(), (400, "invalid-idempotency-key"), "{key}");
    }
    assert_eq!(service.counts().await, (0, 0));
}
