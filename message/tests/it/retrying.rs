//! What a bad gateway does to a message: it is tried again within its budget, and not sent twice where the gateway can
//! tell.

use chassis::testing::until;
use chrono::{TimeDelta, Utc};
use message::domain::RetryBudget;
use message::gateway::SendError;
use message::worker::Worker;

use crate::support::events::published;
use crate::support::{BUDGET, RunningWorker, Service, StubGateway, worker};

fn unavailable() -> SendError {
    SendError::Unavailable { reason: "no credit".to_owned(), retry_after: None }
}

fn unknown() -> SendError {
    SendError::Unknown { reason: "no answer".to_owned(), retry_after: None }
}

/// Waits until an attempt has ended and the message is put back.
async fn until_put_back(service: &Service, attempts: i32) {
    until("it is put back", async || {
        let message = service.the_message().await;
        message.attempts == attempts && message.claim.is_none()
    })
    .await;
}

#[tokio::test]
async fn a_message_fails_once_its_attempts_are_used_up() {
    let service = Service::start().await;
    service.queue(1).await;
    let gateway = StubGateway::failing(unavailable());
    let budget = RetryBudget { attempts: 3, ..BUDGET };
    let worker = RunningWorker::run(Worker { budget, ..worker(&service, gateway.clone()) });
    for attempts in 1..=2 {
        until_put_back(&service, attempts).await;
        assert!(published(&service.pool).await.is_empty(), "only a final failure is published");
        service.make_due().await;
        worker.wake.wake();
    }
    service.until_status("FAILED").await;
    worker.stop().await;

    let message = service.the_message().await;
    assert_eq!(message.reason.as_deref(), Some("given up after 3 attempts: no credit"));
    assert_eq!((message.attempts, gateway.count()), (3, 3));
    let events = published(&service.pool).await;
    assert_eq!(events.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>(), ["MessageFailed"]);
}

#[tokio::test]
async fn a_message_fails_once_it_has_been_tried_for_too_long() {
    let service = Service::start().await;
    service.queue(1).await;
    let worker = RunningWorker::start(&service, &StubGateway::failing(unavailable()));
    until_put_back(&service, 1).await;
    let passed = "UPDATE message SET admitted_at = admitted_at - interval '59 minutes'";
    sqlx::query(passed).execute(&service.pool).await.unwrap();
    service.make_due().await;
    worker.wake.wake();
    until_put_back(&service, 2).await;

    sqlx::query(passed).execute(&service.pool).await.unwrap();
    service.make_due().await;
    worker.wake.wake();
    service.until_status("FAILED").await;
    worker.stop().await;
    assert_eq!(published(&service.pool).await.len(), 1);
}

#[tokio::test]
async fn the_time_a_message_waits_for_its_first_attempt_uses_up_nothing() {
    let service = Service::start().await;
    service.queue(1).await;
    let waited =
        "UPDATE message SET queued_at = queued_at - interval '2 days', due_at = due_at - interval '2 days'";
    sqlx::query(waited).execute(&service.pool).await.unwrap();
    let worker = RunningWorker::start(&service, &StubGateway::failing(unavailable()));
    until_put_back(&service, 1).await;
    worker.stop().await;
    assert_eq!(service.the_message().await.status, "QUEUED");
}

#[tokio::test]
async fn a_gateway_that_names_a_time_is_left_alone_until_then() {
    let service = Service::start().await;
    service.queue(1).await;
    let retry_after = Some(TimeDelta::minutes(5));
    let limited = SendError::Unavailable { reason: "429".to_owned(), retry_after };
    let worker = RunningWorker::start(&service, &StubGateway::failing(limited));
    until_put_back(&service, 1).await;
    worker.stop().await;
    let wait = service.the_message().await.due_at - Utc::now();
    assert!((TimeDelta::minutes(4)..=TimeDelta::minutes(5)).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_number_that_is_no_korean_mobile_fails_without_the_gateway_being_asked() {
    let service = Service::start().await;
    service.queue(1).await;
    sqlx::query("UPDATE message SET phone_no = '0108558'").execute(&service.pool).await.unwrap();
    let gateway = StubGateway::accepting();
    let worker = RunningWorker::start(&service, &gateway);
    service.until_status("FAILED").await;
    worker.stop().await;
    assert_eq!(service.the_message().await.reason.as_deref(), Some("not a Korean mobile number"));
    assert_eq!(gateway.count(), 0);
}

#[tokio::test]
async fn a_message_of_which_nobody_knows_is_looked_for_before_it_is_sent_again() {
    let service = Service::start().await;
    service.queue(1).await;
    // The answer is lost; the message was accepted.
    let gateway = StubGateway::failing(unknown());
    let worker = RunningWorker::start(&service, &gateway);
    until_put_back(&service, 1).await;
    assert!(service.the_message().await.may_be_accepted);
    service.make_due().await;
    worker.wake.wake();
    service.until_status("SENT").await;
    worker.stop().await;

    let message = service.the_message().await;
    assert_eq!(message.gateway_message_id, Some(format!("S{}", message.message_id)));
    assert_eq!((gateway.count(), gateway.calls().finds), (1, 1));
}

#[tokio::test]
async fn a_message_that_was_certainly_not_accepted_is_not_looked_for() {
    let service = Service::start().await;
    service.queue(1).await;
    let gateway = StubGateway::failing(unavailable());
    let worker = RunningWorker::start(&service, &gateway);
    until_put_back(&service, 1).await;
    gateway.answer(Ok(()));
    service.make_due().await;
    worker.wake.wake();
    service.until_status("SENT").await;
    worker.stop().await;
    assert_eq!((gateway.count(), gateway.calls().finds), (2, 0));
}

#[tokio::test]
async fn what_a_dead_worker_sent_is_found_and_not_sent_again() {
    let service = Service::start().await;
    service.queue(1).await;
    let gateway = StubGateway::accepting();
    // As if its owner had died between sending and noting that.
    let sent = "UPDATE message SET claim = gen_random_uuid(), attempts = 1, admitted_at = now()";
    sqlx::query(sent).execute(&service.pool).await.unwrap();
    gateway.accept(service.the_message().await.message_id);

    let worker = RunningWorker::start(&service, &gateway);
    service.until_status("SENT").await;
    worker.stop().await;
    assert_eq!((gateway.count(), gateway.calls().finds), (0, 1));
}

#[tokio::test]
async fn what_a_dead_worker_did_not_come_to_send_is_sent() {
    let service = Service::start().await;
    service.queue(1).await;
    let claimed = "UPDATE message SET claim = gen_random_uuid(), attempts = 1, admitted_at = now()";
    sqlx::query(claimed).execute(&service.pool).await.unwrap();
    let gateway = StubGateway::accepting();
    let worker = RunningWorker::start(&service, &gateway);
    service.until_status("SENT").await;
    worker.stop().await;
    assert_eq!((gateway.count(), gateway.calls().finds), (1, 1));
}
