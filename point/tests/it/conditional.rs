//! `ETag`, `If-Match` and `If-None-Match`.

use axum::body::Body;
use chassis::testing::Answer;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use serde_json::json;
use shared_events::event::MemberStatus::Abnormal;

use crate::support::{Membership, Service, request};

async fn get(service: &Service, if_none_match: &str) -> Answer {
    get_if(service, "if-none-match", if_none_match).await
}

async fn get_if(service: &Service, condition: &str, tags: &str) -> Answer {
    let request = request("GET", "/points/1", None).header(condition, tags);
    service.send(request.body(Body::empty()).expect("a request")).await
}

async fn patch(service: &Service, if_match: &str) -> Answer {
    let request = request("PATCH", "/points/1", Some("application/json")).header("if-match", if_match);
    service.send(request.body(Body::from(r#"{"requirePoint":5}"#)).expect("a request")).await
}

async fn etag(service: &Service) -> String {
    service.get("/points/1").await.header("etag").expect("a tag").to_owned()
}

#[tokio::test]
async fn a_balance_that_the_client_has_is_not_sent_again() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let tag = etag(&service).await;
    for list in [tag.as_str(), "*", &format!("\"x\", W/{tag}")] {
        let answer = get(&service, list).await;
        assert_eq!((answer.status.as_u16(), answer.header("etag")), (304, Some(tag.as_str())), "{list}");
    }
    assert_eq!(get(&service, "\"x\"").await.status, 200);
    service.change(1, 5).await;
    let changed = get(&service, &tag).await;
    assert_eq!((changed.status.as_u16(), changed.number("remainPoint")), (200, 1_005));
}

#[tokio::test]
async fn a_balance_is_sent_in_the_named_state_alone() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let tag = etag(&service).await;
    for list in [tag.as_str(), "*"] {
        assert_eq!(get_if(&service, "if-match", list).await.status, 200, "{list}");
    }
    service.change(1, 5).await;
    assert_eq!(get_if(&service, "if-match", &tag).await.problem(), (412, "precondition-failed"));
}

#[tokio::test]
async fn whatever_changes_the_balance_changes_its_tag() {
    fn later() -> DateTime<Utc> {
        "2026-06-01T00:00:00Z".parse().expect("a time")
    }
    let membership = Membership::of(1);
    let service = Service::with_normal_member(membership).await;
    let mut tags = vec![etag(&service).await];
    let earning = json!({ "type": "EARN", "amount": 5, "reference": "R-1", "expiresAt": later() });
    service.transact(1, &earning).await;
    tags.push(etag(&service).await);
    // Time alone: the points have expired, although nobody has taken them yet.
    tags.push(etag(&service.at(later)).await);
    service.deliver(membership.is(Abnormal, 3)).await;
    tags.push(etag(&service).await);
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), 4);
}

#[tokio::test]
async fn a_command_is_carried_out_in_the_named_state_alone() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let tag = etag(&service).await;
    let before = service.snapshot().await;
    for other in ["\"x\"", "", &format!("W/{tag}")] {
        assert_eq!(patch(&service, other).await.problem(), (412, "precondition-failed"), "{other}");
    }
    assert_eq!(service.snapshot().await, before);
    assert_eq!(patch(&service, &tag).await.status, 200);
    assert_eq!(patch(&service, &tag).await.problem().0, 412);
    assert_eq!(patch(&service, "*").await.status, 200);
}

#[tokio::test]
async fn of_many_who_saw_the_same_state_one_succeeds() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let tag = etag(&service).await;
    let answers = join_all((0..12).map(|_| patch(&service, &tag))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 412).count(), 11);
}
