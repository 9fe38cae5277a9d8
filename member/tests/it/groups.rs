//! Those who join or withdraw at the same moment share a transaction, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use chassis::testing::{Answer, ask_together, with_body};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::events::published;
use crate::support::lock::until_somebody_waits_for_a_lock;
use crate::support::{Service, StubPoint, applicant};

/// Sooner than Postgres gives a statement up that waits for a lock.
const SOON: Duration = Duration::from_secs(5);

async fn service() -> Service {
    Service::start_with(StubPoint::forfeiting().await.url()).await
}

fn outcome(answer: &Answer) -> (u16, &str) {
    if answer.status.is_success() { (answer.status.as_u16(), "") } else { answer.problem() }
}

fn with(mut applicant: Value, name: &str, value: Value) -> Value {
    applicant[name] = value;
    applicant
}

fn application(key: Option<&str>, body: &Value) -> Request<Body> {
    let mut request = with_body("POST /members", "application/json", body.to_string());
    if let Some(key) = key {
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    }
    request
}

/// How many transactions have written the rows of a table.
async fn transactions(service: &Service, table: &str) -> i64 {
    let count = format!("SELECT count(DISTINCT xmin::text) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&service.pool).await.unwrap()
}

#[tokio::test]
async fn each_application_of_a_group_has_an_answer_of_its_own() {
    let service = service().await;
    service.join(7).await;
    assert_eq!(service.delete(7).await.status, 204);
    service.join(8).await;
    // One phone number is one lane.
    let same_phone = |member_id| with(applicant(member_id), "phoneNo", json!("01000000002"));
    let generated = json!({ "phoneNo": "0107", "nickname": "S" });
    let applications = [
        application(None, &applicant(1)),
        application(Some("k"), &applicant(2)),
        application(Some("k"), &applicant(2)),
        application(None, &same_phone(3)),
        application(None, &with(same_phone(8), "phoneNo", json!("0109"))),
        application(None, &applicant(7)),
        application(None, &generated),
        application(None, &generated),
    ];

    let requests = applications.map(|application| service.ask(application));
    let answers = ask_together(&service.database.owner_url(), requests).await;

    let (first, repeated) = (&answers[1], &answers[2]);
    // Which of them is the second one depends on the lanes.
    assert!(outcome(repeated) == (409, "request-in-progress") || repeated.body == first.body, "{repeated:?}");
    assert_eq!(
        [&answers[..2], &answers[3..]].concat().iter().map(outcome).collect::<Vec<_>>(),
        [
            (201, ""),
            (201, ""),
            (409, "phone-taken"),
            (409, "member-id-taken"),
            (201, ""),
            (201, ""),
            (409, "phone-taken"),
        ]
    );
    for (member_id, version) in [(1, 1), (2, 1), (7, 3), (answers[6].number("memberId"), 1)] {
        let published = published(&service.pool).await;
        let newest = published.iter().rfind(|event| event.key == member_id.to_string()).unwrap();
        assert_eq!(newest.summary(), ("MemberJoined", version));
    }
    let again = service.ask(application(Some("k"), &applicant(2))).await;
    assert_eq!((again.header("idempotency-hit"), &again.body), (Some("true"), &answers[1].body));
}

#[tokio::test]
async fn those_who_join_together_share_transactions() {
    let service = service().await;
    let bodies: Vec<Value> = (1..=40).map(applicant).collect();
    let answers =
        ask_together(&service.database.owner_url(), bodies.iter().map(|body| service.post(body))).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    assert!(transactions(&service, "member").await <= 4, "two lanes, and two groups in each");
}

#[tokio::test]
async fn those_who_withdraw_at_once_are_each_gone_and_published_once() {
    let service = service().await;
    for member_id in 1..=40 {
        service.join(member_id).await;
    }
    // Everybody twice.
    let answers = join_all((1..=40).chain(1..=40).map(|member_id| service.delete(member_id))).await;

    assert!(answers.iter().all(|answer| [204, 404].contains(&answer.status.as_u16())), "{answers:?}");
    let published = published(&service.pool).await;
    for member_id in 1..=40 {
        let own = published.iter().filter(|event| event.key == member_id.to_string());
        let own: Vec<_> = own.map(|event| event.summary()).collect();
        assert_eq!(own, [("MemberJoined", 1), ("MemberWithdrawn", 2)]);
    }
    assert_eq!(service.tombstones().await.len(), 40);
}

#[tokio::test]
async fn who_has_to_wait_for_somebody_holds_up_nobody_else() {
    let service = Arc::new(service().await);
    let mut other = service.pool.begin().await.unwrap();
    service.join(1).await;
    sqlx::query("DELETE FROM member WHERE member_id = 1").execute(&mut *other).await.unwrap();
    let waiting = {
        let service = Arc::clone(&service);
        tokio::spawn(async move { service.post(&applicant(1)).await })
    };
    until_somebody_waits_for_a_lock(&service.pool).await;

    let bodies: Vec<Value> = (2..=20).map(applicant).collect();
    let joined = join_all(bodies.iter().map(|body| service.post(body)));
    let joined = timeout(SOON, joined).await.expect("they do not wait");

    assert!(joined.iter().all(|answer| answer.status == 201), "{joined:?}");
    assert!(!waiting.is_finished());
    other.commit().await.unwrap();
    assert_eq!(waiting.await.unwrap().status, 201);
}

#[tokio::test]
async fn what_postgres_refuses_to_one_is_done_for_the_others() {
    let service = service().await;
    service.database.as_owner("ALTER TABLE member ADD CONSTRAINT unlucky CHECK (nickname <> 'SEQ13')").await;
    let bodies: Vec<Value> = (10..=16).map(applicant).collect();

    let answers =
        ask_together(&service.database.owner_url(), bodies.iter().map(|body| service.post(body))).await;

    for (member_id, answer) in (10..).zip(&answers) {
        let expected = if member_id == 13 { (500, "internal-error") } else { (201, "") };
        assert_eq!(outcome(answer), expected);
    }
    assert_eq!(service.counts().await, (6, 6));
}

/// Replicas that are asked for the same ids and numbers, each the other way round.
#[tokio::test]
async fn replicas_that_want_the_same_at_once_let_each_id_and_number_join_once() {
    let one = service().await;
    let other = Service::on(
        one.database.clone(),
        one.database.pool(10),
        StubPoint::forfeiting().await.url(),
        chassis::testing::DEADLINE,
    );
    const MANY: i64 = 30;
    let number = |number: i64| json!(format!("0102{number:07}"));
    let forward: Vec<Value> =
        (1..=MANY).map(|id| with(applicant(id), "phoneNo", number(MANY + 1 - id))).collect();
    let backward: Vec<Value> =
        (1..=MANY).rev().map(|id| with(applicant(id), "phoneNo", number(id))).collect();

    let (forward, backward) = tokio::join!(
        join_all(forward.iter().map(|body| one.post(body))),
        join_all(backward.iter().map(|body| other.post(body))),
    );

    let allowed = [(201, ""), (409, "member-id-taken"), (409, "phone-taken")];
    for answer in forward.iter().chain(&backward) {
        assert!(allowed.contains(&outcome(answer)), "{answer:?}");
    }
    let joined = forward.iter().chain(&backward).filter(|answer| answer.status == 201).count();
    let (members, events) = one.counts().await;
    assert_eq!((members, events), (joined as i64, joined as i64));
    let distinct: (i64, i64) =
        sqlx::query_as("SELECT count(DISTINCT member_id), count(DISTINCT phone_no) FROM member")
            .fetch_one(&one.pool)
            .await
            .unwrap();
    assert_eq!(distinct, (members, members));
}
