//! Notices that points expire.

use chrono::{DateTime, TimeDelta, Utc};
use message::gateway::SendError;
use shared_events::delivery::Outcome;

use crate::support::events::{expiring, published, withdrawn};
use crate::support::{RunningWorker, Service, StubGateway};

fn soon() -> DateTime<Utc> {
    "2999-12-31T15:00:00Z".parse().unwrap()
}

#[tokio::test]
async fn a_notice_goes_once_for_each_expiry_and_stage_to_the_number_of_the_welcome() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    for (stage, outcome) in [
        ("TWO_MONTHS", Outcome::Applied),
        ("TWO_MONTHS", Outcome::AlreadyApplied),
        ("ONE_MONTH", Outcome::Applied),
    ] {
        assert_eq!(service.handle(1, expiring(1, membership_id, soon(), stage)).await, outcome);
    }
    let gateway = StubGateway::accepting();
    let worker = RunningWorker::start(&service, &gateway);
    chassis::testing::until("all are sent", async || service.count("SENT").await == 3).await;
    worker.stop().await;

    let stored = service.stored().await;
    let notices: Vec<_> = stored.iter().filter(|message| message.kind == "EXPIRY_NOTICE").collect();
    assert_eq!(notices.len(), 2);
    assert!(notices.iter().all(|notice| notice.phone_no.as_deref() == Some("01000000001")));
    let kinds: Vec<_> =
        published(&service.pool).await.into_iter().map(|event| event.payload["kind"].clone()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "EXPIRY_NOTICE").count(), 2);
    let texts = gateway.texts();
    let text = "[마일리지] 적립금 500점이 2999-12-31까지 유효합니다.";
    assert_eq!(texts.iter().filter(|sent| *sent == text).count(), 2, "{texts:?}");
}

#[tokio::test]
async fn who_has_withdrawn_or_is_not_known_gets_none_and_neither_does_who_is_told_too_late() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    let late = expiring(1, membership_id, Utc::now() - TimeDelta::seconds(1), "THREE_DAYS");
    assert_eq!(service.handle(1, late).await, Outcome::Stale);
    service.handle(1, withdrawn(1, membership_id)).await;
    let unknown = shared_events::MembershipId(uuid::Uuid::now_v7());
    for membership_id in [membership_id, unknown] {
        let outcome = service.handle(1, expiring(1, membership_id, soon(), "THREE_DAYS")).await;
        assert_eq!(outcome, Outcome::Ignored);
    }
    assert_eq!(service.stored().await.len(), 1);
}

#[tokio::test]
async fn a_withdrawal_cancels_a_notice_and_erases_its_number() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    service.handle(1, expiring(1, membership_id, soon(), "THREE_DAYS")).await;
    service.handle(1, withdrawn(1, membership_id)).await;
    let stored = service.stored().await;
    assert!(stored.iter().all(|message| message.status == "CANCELLED" && message.phone_no.is_none()));
}

#[tokio::test]
async fn a_notice_that_fails_is_published_as_what_it_is() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    service.handle(1, expiring(1, membership_id, soon(), "THREE_DAYS")).await;
    let refused = SendError::Refused { reason: "SOLAPI 3032".to_owned() };
    let worker = RunningWorker::start(&service, &StubGateway::failing(refused));
    chassis::testing::until("both have failed", async || service.count("FAILED").await == 2).await;
    worker.stop().await;
    let events = published(&service.pool).await;
    let of_notice = events.iter().find(|event| event.payload["kind"] == "EXPIRY_NOTICE").unwrap();
    assert_eq!(of_notice.event_type, "MessageFailed");
}

#[tokio::test]
async fn a_notice_that_comes_to_be_sent_after_the_points_have_expired_is_not_sent() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    service.handle(1, expiring(1, membership_id, soon(), "THREE_DAYS")).await;
    sqlx::query("UPDATE message SET expires_at = now() WHERE kind = 'EXPIRY_NOTICE'")
        .execute(&service.pool)
        .await
        .unwrap();
    let gateway = StubGateway::accepting();
    let worker = RunningWorker::start(&service, &gateway);
    service.until_status("FAILED").await;
    chassis::testing::until("the welcome is sent", async || service.count("SENT").await == 1).await;
    worker.stop().await;
    assert_eq!(gateway.count(), 1, "the welcome alone");
}
