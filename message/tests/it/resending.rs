//! `POST /messages/{id}/resend`

use chassis::testing::DEADLINE;
use message::gateway::SendError;
use serde_json::json;
use tokio::time::timeout;

use crate::support::events::{published, withdrawn};
use crate::support::{RunningWorker, Service, StubGateway};

async fn failed(service: &Service) -> i64 {
    service.queue(1).await;
    let refused = SendError::Refused { reason: "SOLAPI 3032".to_owned() };
    let worker = RunningWorker::start(service, &StubGateway::failing(refused));
    service.until_status("FAILED").await;
    worker.stop().await;
    service.the_message().await.message_id
}

#[tokio::test]
async fn a_failed_message_is_queued_again_and_what_becomes_of_it_is_published() {
    let service = Service::start().await;
    let id = failed(&service).await;

    let answer = service.ask(&format!("POST /messages/{id}/resend")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.body["messageStatus"], "QUEUED");
    assert_eq!(answer.body["_links"]["self"]["href"], format!("http://test/messages/{id}"));
    timeout(DEADLINE, service.worker.woken()).await.expect("the worker is woken");
    let queued = service.the_message().await;
    assert_eq!((queued.attempts, queued.reason, queued.finished_at), (0, None, None));
    assert_eq!((queued.admitted_at, queued.resent_by.as_deref()), (None, Some("operator")));

    let worker = RunningWorker::start(&service, &StubGateway::accepting());
    service.until_status("SENT").await;
    worker.stop().await;
    let events = published(&service.pool).await;
    let events: Vec<_> = events.iter().map(|event| (event.event_type.as_str(), event.sequence)).collect();
    assert_eq!(events, [("MessageFailed", 1), ("MessageSent", 2)]);
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_has_it_sent_again() {
    let service = Service::start().await;
    let id = failed(&service).await;
    let path = format!("POST /messages/{id}/resend");
    let answers = futures::future::join_all((0..8).map(|_| service.ask(&path))).await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(accepted, 1, "{answers:?}");
}

#[tokio::test]
async fn what_has_not_failed_is_not_sent_again() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    let path = format!("POST /messages/{}/resend", service.the_message().await.message_id);
    let queued = service.ask(&path).await;
    assert_eq!(queued.problem(), (409, "message-not-failed"));
    assert_eq!(queued.body["messageStatus"], json!("QUEUED"));

    let worker = RunningWorker::start(&service, &StubGateway::accepting());
    service.until_status("SENT").await;
    worker.stop().await;
    assert_eq!(service.ask(&path).await.body["messageStatus"], json!("SENT"));

    service.handle(1, withdrawn(1, membership_id)).await;
    assert_eq!(service.ask(&path).await.problem(), (409, "phone-number-erased"));
}

#[tokio::test]
async fn what_failed_for_a_member_who_withdrew_is_not_sent_again() {
    let service = Service::start().await;
    let id = failed(&service).await;
    let membership_id = shared_events::MembershipId(service.the_message().await.membership_id);
    service.handle(1, withdrawn(1, membership_id)).await;
    let before = service.stored().await;
    let answer = service.ask(&format!("POST /messages/{id}/resend")).await;
    assert_eq!(answer.problem(), (409, "phone-number-erased"));
    assert_eq!(service.stored().await, before);
}

#[tokio::test]
async fn what_does_not_exist_or_is_no_id_is_not_sent_again() {
    let service = Service::start().await;
    assert_eq!(service.ask("POST /messages/1/resend").await.problem(), (404, "message-not-found"));
    assert_eq!(service.ask("POST /messages/abc/resend").await.problem(), (400, "malformed-request"));
    assert_eq!(service.get("/messages/1/resend").await.problem(), (405, "method-not-allowed"));
}
