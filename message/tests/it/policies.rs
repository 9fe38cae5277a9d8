//! What message does when something happens to a member.

use shared_events::delivery::Outcome;
use shared_events::event::{MemberStatus, PointsForfeited};
use shared_events::{Event, MembershipId};
use uuid::Uuid;

use crate::support::events::{joined, published, status_changed, withdrawn};
use crate::support::{RunningWorker, Service, StubGateway};

fn membership() -> MembershipId {
    MembershipId(Uuid::now_v7())
}

#[tokio::test]
async fn a_ready_member_gets_one_welcome_queued_however_often_that_is_told() {
    let service = Service::start().await;
    let membership_id = membership();

    assert_eq!(service.handle(1, joined(1, membership_id)).await, Outcome::Applied);
    for again in [joined(1, membership_id), status_changed(1, membership_id, MemberStatus::Ready)] {
        assert_eq!(service.handle(1, again).await, Outcome::AlreadyApplied);
    }

    let message = service.the_message().await;
    assert_eq!((message.member_id, message.membership_id), (1, membership_id.0));
    assert_eq!((message.kind.as_str(), message.status.as_str()), ("WELCOME", "QUEUED"));
    assert_eq!(message.phone_no.as_deref(), Some("01000000001"));
    assert_eq!((message.attempts, message.claim, message.finished_at), (0, None, None));
    assert!(published(&service.pool).await.is_empty(), "it is not sent yet");
}

#[tokio::test]
async fn a_member_who_is_told_of_twice_at_once_gets_one_welcome() {
    let service = Service::start().await;
    let membership_id = membership();

    let (first, second) = tokio::join!(
        service.handle(1, joined(1, membership_id)),
        service.handle(1, joined(1, membership_id)),
    );

    let mut outcomes = [first, second];
    outcomes.sort_by_key(|outcome| *outcome != Outcome::Applied);
    assert_eq!(outcomes, [Outcome::Applied, Outcome::AlreadyApplied]);
    assert_eq!(service.stored().await.len(), 1);
}

#[tokio::test]
async fn a_member_whose_welcome_ended_gets_none_queued() {
    let service = Service::start().await;
    for status in [MemberStatus::Normal, MemberStatus::Abnormal] {
        let outcome = service.handle(1, status_changed(1, membership(), status)).await;
        assert_eq!(outcome, Outcome::Ignored);
    }
    assert!(service.stored().await.is_empty());
}

#[tokio::test]
async fn each_membership_of_an_id_gets_its_own_welcome() {
    let service = Service::start().await;
    let former = service.queue(1).await;
    service.handle(1, withdrawn(1, former)).await;

    let current = service.queue(1).await;

    let stored = service.stored().await;
    let statuses: Vec<_> =
        stored.iter().map(|message| (message.membership_id, message.status.as_str())).collect();
    assert_eq!(statuses, [(former.0, "CANCELLED"), (current.0, "QUEUED")]);
    // A late repetition of the former membership's end leaves the new one alone.
    assert_eq!(service.handle(1, withdrawn(1, former)).await, Outcome::AlreadyApplied);
    assert_eq!(service.stored().await, stored);
}

#[tokio::test]
async fn a_withdrawal_cancels_what_is_queued_and_erases_the_phone_number() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    service.queue(2).await;

    assert_eq!(service.handle(1, withdrawn(1, membership_id)).await, Outcome::Applied);
    let [cancelled, other] = service.stored().await.try_into().unwrap();
    assert_eq!((cancelled.status.as_str(), cancelled.phone_no), ("CANCELLED", None));
    assert!(cancelled.finished_at.is_some());
    assert_eq!((other.status.as_str(), other.phone_no.as_deref()), ("QUEUED", Some("01000000002")));

    assert_eq!(service.handle(1, withdrawn(1, membership_id)).await, Outcome::AlreadyApplied);
    assert!(published(&service.pool).await.is_empty());
}

#[tokio::test]
async fn a_withdrawal_erases_the_phone_number_of_what_was_sent_and_changes_nothing_else() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    let worker = RunningWorker::start(&service, &StubGateway::accepting());
    service.until_status("SENT").await;
    worker.stop().await;
    let (sent, events) = (service.the_message().await, published(&service.pool).await);
    assert!(sent.phone_no.is_some());

    assert_eq!(service.handle(1, withdrawn(1, membership_id)).await, Outcome::Applied);

    let mut expected = sent;
    expected.phone_no = None;
    assert_eq!(service.the_message().await, expected);
    assert_eq!(published(&service.pool).await, events);
}

#[tokio::test]
async fn a_replay_after_the_withdrawal_queues_nothing() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    service.handle(1, withdrawn(1, membership_id)).await;

    assert_eq!(service.handle(1, joined(1, membership_id)).await, Outcome::AlreadyApplied);

    let message = service.the_message().await;
    assert_eq!((message.status.as_str(), message.phone_no), ("CANCELLED", None));
}

#[tokio::test]
async fn the_withdrawal_of_somebody_unknown_and_other_events_change_nothing() {
    let service = Service::start().await;
    let forfeited = Event::PointsForfeited(PointsForfeited {
        member_id: 1.try_into().unwrap(),
        membership_id: membership(),
        amount: 0,
        remain_point: 0,
        occurred_at: chrono::Utc::now(),
        transaction_id: None,
        lots: None,
    });
    assert_eq!(service.handle(1, withdrawn(1, membership())).await, Outcome::AlreadyApplied);
    for event in [forfeited, Event::Unknown] {
        assert_eq!(service.handle(1, event).await, Outcome::Ignored);
    }
    assert!(service.stored().await.is_empty());
}
