//! What the worker does with what is queued.

use chassis::testing::{DEADLINE, until};
use futures::FutureExt;
use message::gateway::SendError;
use serde_json::json;
use shared_events::delivery::Outcome;
use tokio::time::timeout;

use crate::support::events::{TRACEPARENT, joined, published, withdrawn};
use crate::support::{RunningWorker, Service, StubGateway};

fn refused() -> SendError {
    SendError::Refused { reason: "no such subscriber".to_owned() }
}

fn unavailable() -> SendError {
    SendError::Unavailable { reason: "try later".to_owned(), retry_after: None }
}

#[tokio::test]
async fn what_is_queued_is_sent_once_and_published() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    let gateway = StubGateway::accepting();
    let worker = RunningWorker::start(&service, &gateway);

    service.until_status("SENT").await;
    timeout(DEADLINE, worker.relay.woken()).await.expect("the relay is woken");
    worker.stop().await;

    let message = service.the_message().await;
    assert_eq!((message.attempts, message.claim, &message.reason), (1, None, &None));
    assert!(message.finished_at.is_some());
    assert_eq!(gateway.calls().by_reference, [(message.message_id, 1)].into());
    let (phone_no, text) = gateway.calls().last.unwrap();
    assert_eq!(phone_no, "01000000001");
    assert!(!text.is_empty());

    let events = published(&service.pool).await;
    let [event] = events.as_slice() else { panic!("one event expected: {events:?}") };
    assert_eq!((event.event_type.as_str(), event.sequence), ("MessageSent", 1));
    assert_eq!((event.topic.as_str(), event.key.as_str()), ("message", "1"));
    assert_eq!(event.membership_id, membership_id.0);
    assert_eq!(event.actor, "service:message");
    assert_eq!(event.traceparent.as_deref(), Some(TRACEPARENT), "that of the joining");
    let mut payload = event.payload.clone();
    assert!(payload["sentAt"].take().is_string());
    assert_eq!(
        payload,
        json!({
            "messageId": message.message_id, "memberId": 1, "membershipId": membership_id, "kind": "WELCOME",
            "sentAt": null,
        })
    );
}

#[tokio::test]
async fn what_the_gateway_refuses_fails_for_good_and_is_published() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    let gateway = StubGateway::failing(refused());
    let worker = RunningWorker::start(&service, &gateway);

    service.until_status("FAILED").await;
    service.make_due().await;
    worker.wake.wake();
    worker.stop().await;

    let message = service.the_message().await;
    assert_eq!(message.reason.as_deref(), Some("no such subscriber"));
    assert_eq!((message.attempts, gateway.count()), (1, 1));
    let events = published(&service.pool).await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].event_type.as_str(), events[0].sequence), ("MessageFailed", 1));
    let mut payload = events[0].payload.clone();
    assert!(payload["failedAt"].take().is_string());
    assert_eq!(
        payload,
        json!({
            "messageId": message.message_id, "memberId": 1, "membershipId": membership_id, "kind": "WELCOME",
            "reason": "no such subscriber", "failedAt": null,
        }),
        "no phone number"
    );
}

#[tokio::test]
async fn while_the_gateway_is_unavailable_a_message_stays_queued_and_then_is_sent() {
    let service = Service::start().await;
    service.queue(1).await;
    let gateway = StubGateway::failing(unavailable());
    let worker = RunningWorker::start(&service, &gateway);
    for attempts in 1..=3 {
        until("it is put back", async || {
            let message = service.the_message().await;
            message.attempts >= attempts && message.claim.is_none()
        })
        .await;
        let message = service.the_message().await;
        assert_eq!((message.status.as_str(), message.reason.as_deref()), ("QUEUED", Some("try later")));
        assert!(published(&service.pool).await.is_empty());
        // Due again only where nobody is at it.
        if attempts < 3 {
            service.make_due().await;
            worker.wake.wake();
        }
    }

    gateway.answer(Ok(()));
    service.make_due().await;
    worker.wake.wake();
    service.until_status("SENT").await;
    worker.stop().await;

    let message = service.the_message().await;
    assert!(message.attempts > 3);
    assert_eq!(u32::try_from(message.attempts).unwrap(), gateway.count());
    assert_eq!(message.reason, None);
    assert_eq!(published(&service.pool).await.len(), 1);
}

#[tokio::test]
async fn a_message_that_was_put_back_waits_before_the_next_attempt() {
    let service = Service::start().await;
    service.queue(1).await;
    let gateway = StubGateway::holding();
    gateway.answer(Err(unavailable()));
    let worker = RunningWorker::start(&service, &gateway);
    gateway.until_in_flight(1).await;
    let before = chrono::Utc::now();
    gateway.let_go(1);
    worker.stop().await;

    let message = service.the_message().await;
    assert_eq!(message.claim, None);
    assert!(message.due_at >= before + chrono::TimeDelta::milliseconds(250), "{message:?}");
    assert!(message.due_at < before + chrono::TimeDelta::seconds(20), "not at the end of the lease");
}

#[tokio::test]
async fn who_withdraws_while_the_message_is_being_sent_is_not_published() {
    for answer in [Ok(()), Err(refused()), Err(unavailable())] {
        let service = Service::start().await;
        let membership_id = service.queue(1).await;
        let gateway = StubGateway::holding();
        gateway.answer(answer.clone());
        let worker = RunningWorker::start(&service, &gateway);
        gateway.until_in_flight(1).await;

        let outcome = service.handle(1, withdrawn(1, membership_id)).await;
        assert_eq!(outcome, Outcome::Applied);
        let cancelled = service.the_message().await;
        gateway.release();
        worker.stop().await;

        assert_eq!((cancelled.status.as_str(), &cancelled.phone_no), ("CANCELLED", &None));
        assert_eq!(service.the_message().await, cancelled, "{answer:?}");
        assert!(published(&service.pool).await.is_empty(), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_cancelled_is_not_sent() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    service.handle(1, withdrawn(1, membership_id)).await;
    service.queue(2).await;
    let gateway = StubGateway::accepting();
    let worker = RunningWorker::start(&service, &gateway);

    service.until_status("SENT").await;
    worker.stop().await;

    let [cancelled, sent] = service.stored().await.try_into().unwrap();
    assert_eq!((cancelled.status.as_str(), cancelled.attempts), ("CANCELLED", 0));
    assert_eq!(gateway.calls().by_reference, [(sent.message_id, 1)].into());
}

#[tokio::test]
async fn a_worker_that_is_stopped_finishes_what_it_is_sending() {
    let service = Service::start().await;
    service.queue_many(3).await;
    let gateway = StubGateway::holding();
    let worker = RunningWorker::start(&service, &gateway);
    gateway.until_in_flight(3).await;

    worker.cancel();
    service.queue(4).await;
    gateway.release();
    worker.ended().await.unwrap();

    assert_eq!(service.count("SENT").await, 3);
    assert_eq!(service.count("QUEUED").await, 1, "nothing new is begun");
    assert_eq!(published(&service.pool).await.len(), 3);
}

#[tokio::test]
async fn a_failure_of_the_database_does_not_break_off_what_is_being_sent() {
    let service = Service::start().await;
    service.queue(1).await;
    let gateway = StubGateway::holding();
    let worker = RunningWorker::start(&service, &gateway);
    gateway.until_in_flight(1).await;
    // Claims fail from now on. A sequence shows that one has: it is not rolled back.
    let failing = "CREATE SEQUENCE failures;
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
             $$ BEGIN PERFORM nextval('message.failures'); RAISE 'no claims'; END $$;
         CREATE TRIGGER fail BEFORE UPDATE ON message FOR EACH ROW WHEN (new.claim IS NOT NULL)
             EXECUTE FUNCTION fail();
         GRANT SELECT ON failures TO message_app";
    service.database.as_owner(failing).await;
    service.queue(2).await;
    worker.wake.wake();
    until("a claim fails", async || {
        sqlx::query_scalar("SELECT is_called FROM failures").fetch_one(&service.pool).await.unwrap()
    })
    .await;
    gateway.release();

    assert!(worker.ended().await.is_err(), "to be restarted by the supervisor");

    assert_eq!(gateway.count(), 1);
    assert_eq!(service.count("SENT").await, 1);
    assert_eq!(published(&service.pool).await.len(), 1);
}

#[tokio::test]
async fn a_worker_finds_what_is_queued_without_being_woken() {
    let service = Service::start().await;
    let worker = RunningWorker::start(&service, &StubGateway::accepting());
    service.queue(1).await;
    service.until_status("SENT").await;
    assert!(worker.wake.woken().now_or_never().is_none());
    worker.stop().await;
}

#[tokio::test]
async fn a_repeated_joining_after_the_welcome_was_sent_sends_nothing() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    let gateway = StubGateway::accepting();
    let worker = RunningWorker::start(&service, &gateway);
    service.until_status("SENT").await;

    let outcome = service.handle(1, joined(1, membership_id)).await;
    assert_eq!(outcome, Outcome::AlreadyApplied);
    // Another member's message shows that the worker has looked again.
    service.queue(2).await;
    worker.wake.wake();
    until("the other is sent", async || service.count("SENT").await == 2).await;
    worker.stop().await;

    assert_eq!(gateway.count(), 2);
}
