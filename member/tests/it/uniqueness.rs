//! READY and NORMAL members have unique phone numbers, and ids are unique, however many join at once.

use chassis::testing::Answer;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::events::{message_failed, message_sent, summaries};
use crate::support::{Service, StubPoint, applicant};

const AT_ONCE: i64 = 50;

/// A member with another's phone number.
fn with_the_phone_of(other: i64, member_id: i64) -> Value {
    let mut body = applicant(member_id);
    body["phoneNo"] = applicant(other)["phoneNo"].clone();
    body
}

async fn all_at_once(service: &Service, applicants: impl Iterator<Item = Value>) -> Vec<Answer> {
    join_all(applicants.map(|body| async move { service.post(&body).await })).await
}

/// Asserts that exactly one joined and the others were told why not.
async fn assert_one_joined(service: &Service, answers: &[Answer], code: &str) {
    let (joined, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!(joined.len(), 1);
    for answer in refused {
        assert_eq!(answer.problem(), (409, code));
    }
    assert_eq!(service.counts().await, (1, 1));
}

#[tokio::test]
async fn of_50_who_join_at_once_with_one_phone_number_one_succeeds() {
    let service = Service::start().await;
    let answers = all_at_once(&service, (1..=AT_ONCE).map(|id| with_the_phone_of(1, id))).await;
    assert_one_joined(&service, &answers, "phone-taken").await;
}

#[tokio::test]
async fn of_50_who_join_at_once_with_one_phone_number_and_generated_ids_one_succeeds() {
    let service = Service::start().await;
    let same = json!({ "phoneNo": "01085581234", "nickname": "SEQ1" });
    let answers = all_at_once(&service, (0..AT_ONCE).map(|_| same.clone())).await;
    assert_one_joined(&service, &answers, "phone-taken").await;
}

#[tokio::test]
async fn of_50_who_join_at_once_with_one_id_one_succeeds() {
    let service = Service::start().await;
    let with_one_id = (1..=AT_ONCE).map(|number| {
        let mut body = applicant(number);
        body["memberId"] = json!(1);
        body
    });
    let answers = all_at_once(&service, with_one_id).await;
    assert_one_joined(&service, &answers, "member-id-taken").await;
}

#[tokio::test]
async fn joining_twice_with_the_same_body_joins_once() {
    let service = Service::start().await;
    let answers = all_at_once(&service, (0..2).map(|_| applicant(1))).await;
    assert_one_joined(&service, &answers, "member-id-taken").await;
}

#[tokio::test]
async fn the_number_of_a_ready_or_normal_member_is_taken() {
    let service = Service::start().await;
    let membership_id = service.join(1).await;
    let taken = || async { service.post(&with_the_phone_of(1, 2)).await };
    assert_eq!(taken().await.problem(), (409, "phone-taken"));

    service.handle(1, message_sent(1, membership_id)).await;

    assert_eq!(service.status(1).await, "NORMAL");
    assert_eq!(taken().await.problem(), (409, "phone-taken"));
    assert_eq!(service.get("/members/2").await.status, 404);
}

#[tokio::test]
async fn the_number_of_an_abnormal_member_can_be_used() {
    let service = Service::start().await;
    let first = service.join(1).await;
    service.handle(1, message_failed(1, first)).await;
    assert_eq!(service.status(1).await, "ABNORMAL");

    assert_eq!(service.post(&with_the_phone_of(1, 2)).await.status, 201);

    assert_eq!(service.post(&with_the_phone_of(1, 3)).await.problem(), (409, "phone-taken"));
    let second = service.membership(2).await.unwrap();
    service.handle(2, message_failed(2, second)).await;
    assert_eq!(service.post(&with_the_phone_of(1, 3)).await.status, 201, "two are ABNORMAL now");
}

#[tokio::test]
async fn a_number_written_differently_is_the_same_number() {
    let service = Service::start().await;
    let joined = service.post(&json!({ "phoneNo": "+82 10-8558-1234", "nickname": "S" })).await;
    assert_eq!(joined.status, 201);
    let again = service.post(&json!({ "phoneNo": "010 8558 1234", "nickname": "S" })).await;
    assert_eq!(again.problem(), (409, "phone-taken"));
}

#[tokio::test]
async fn the_number_of_a_withdrawn_member_is_free() {
    let service = Service::start_with(StubPoint::forfeiting().await.url()).await;
    service.join(1).await;
    assert_eq!(service.delete(1).await.status, 204);

    assert_eq!(service.post(&with_the_phone_of(1, 2)).await.status, 201);

    let joined = |version| ("MemberJoined".to_owned(), version);
    assert_eq!(summaries(&service.pool).await, [joined(1), ("MemberWithdrawn".to_owned(), 2), joined(1)]);
}
