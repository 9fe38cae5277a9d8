//! What member does when something happens elsewhere.

use shared_events::Event;
use shared_events::delivery::Outcome;
use shared_events::event::MessageKind;
use shared_events::event::PointsEarned;

use crate::support::events::{
    message_failed, message_failed_of, message_sent, message_sent_of, points_forfeited, published, summaries,
};
use crate::support::{Service, StubPoint};

#[tokio::test]
async fn whenever_the_welcome_ended_the_status_changes_once() {
    for (status, first, later) in [
        ("NORMAL", message_sent as fn(_, _) -> _, &[message_sent as fn(_, _) -> _, message_failed][..]),
        ("ABNORMAL", message_failed, &[message_failed]),
    ] {
        let service = Service::start().await;
        let membership_id = service.join(1).await;

        assert_eq!(service.handle(1, first(1, membership_id)).await, Outcome::Applied);
        for later in later {
            let outcome = service.handle(1, later(1, membership_id)).await;
            assert_eq!(outcome, Outcome::AlreadyApplied);
        }

        assert_eq!(service.status(1).await, status);
        let events = published(&service.pool).await;
        assert_eq!(events.len(), 2);
        let (joined, changed) = (&events[0], &events[1]);
        assert_eq!(changed.summary(), ("MemberStatusChanged", 2));
        assert_eq!(changed.actor, "service:test", "the cause's");
        let mut expected = joined.payload.clone();
        expected["memberStatus"] = status.into();
        assert_eq!(changed.payload, expected, "the whole state");
    }
}

#[tokio::test]
async fn an_abnormal_member_becomes_normal_when_the_welcome_is_sent_after_all() {
    let service = Service::start().await;
    let membership_id = service.join(1).await;
    service.handle(1, message_failed(1, membership_id)).await;

    assert_eq!(service.handle(1, message_sent(1, membership_id)).await, Outcome::Applied);
    for late in [message_sent, message_failed] {
        assert_eq!(service.handle(1, late(1, membership_id)).await, Outcome::AlreadyApplied);
    }

    assert_eq!(service.status(1).await, "NORMAL");
    let changes = [("MemberJoined", 1), ("MemberStatusChanged", 2), ("MemberStatusChanged", 3)];
    assert_eq!(summaries(&service.pool).await, changes.map(|(name, version)| (name.to_owned(), version)));
}

#[tokio::test]
async fn an_abnormal_member_stays_so_when_another_has_the_number_by_now() {
    let service = Service::start().await;
    let membership_id = service.join_with_phone(1, "01085581234").await;
    service.handle(1, message_failed(1, membership_id)).await;
    let other = service.join_with_phone(2, "01085581234").await;
    let before = published(&service.pool).await;

    assert_eq!(service.handle(1, message_sent(1, membership_id)).await, Outcome::Ignored);
    assert_eq!(service.status(1).await, "ABNORMAL");
    assert_eq!(published(&service.pool).await, before);

    assert_eq!(service.handle(2, message_sent(2, other)).await, Outcome::Applied);
}

#[tokio::test]
async fn one_members_welcome_does_not_touch_another() {
    let service = Service::start().await;
    let first = service.join(1).await;
    service.join(2).await;
    service.handle(1, message_sent(1, first)).await;
    assert_eq!(service.status(1).await, "NORMAL");
    assert_eq!(service.status(2).await, "READY");
}

#[tokio::test]
async fn the_welcome_of_a_former_or_unknown_membership_is_stale() {
    let service = Service::start_with(StubPoint::forfeiting().await.url()).await;
    let former = service.join(1).await;
    let unknown = shared_events::MembershipId(uuid::Uuid::now_v7());
    assert_eq!(service.delete(1).await.status, 204);
    assert_eq!(service.handle(1, message_sent(1, former)).await, Outcome::Stale);
    service.join(1).await;
    let before = service.counts().await;

    for membership_id in [former, unknown] {
        for event in [message_sent(1, membership_id), message_failed(1, membership_id)] {
            assert_eq!(service.handle(1, event).await, Outcome::Stale);
        }
    }

    assert_eq!(service.status(1).await, "READY");
    assert_eq!(service.counts().await, before);
}

#[tokio::test]
async fn other_messages_and_events_change_nothing() {
    let service = Service::start().await;
    let membership_id = service.join(1).await;
    let earned = PointsEarned {
        member_id: 1.try_into().unwrap(),
        membership_id,
        amount: 1,
        remain_point: 1,
        entry_type: "EARN".to_owned(),
        occurred_at: chrono::Utc::now(),
        transaction_id: None,
        reference: None,
        lots: None,
        next_expiration: None,
    };
    for event in [
        message_sent_of(MessageKind::ExpiryNotice, 1, membership_id),
        message_failed_of(MessageKind::ExpiryNotice, 1, membership_id),
        message_sent_of(MessageKind::Unknown, 1, membership_id),
        message_failed_of(MessageKind::Unknown, 1, membership_id),
        Event::PointsEarned(earned),
        Event::Unknown,
    ] {
        assert_eq!(service.handle(1, event).await, Outcome::Ignored);
    }
    assert_eq!(service.status(1).await, "READY");
    assert_eq!(service.counts().await, (1, 1));
}

#[tokio::test]
async fn whenever_points_were_forfeited_the_withdrawal_is_finished_once() {
    let service = Service::start().await;
    let membership_id = service.join(1).await;
    service.handle(1, message_sent(1, membership_id)).await;

    let forfeited = || points_forfeited(1, membership_id);
    assert_eq!(service.handle(1, forfeited()).await, Outcome::Applied);
    assert_eq!(service.handle(1, forfeited()).await, Outcome::AlreadyApplied);

    assert_eq!(service.get("/members/1").await.status, 404);
    assert_eq!(service.tombstones().await.len(), 1);
    let event = published(&service.pool).await.pop().unwrap();
    assert_eq!(event.summary(), ("MemberWithdrawn", 3));
    assert_eq!(event.actor, "service:test", "the cause's");
    assert_eq!(summaries(&service.pool).await.len(), 3);
}

#[tokio::test]
async fn points_forfeited_by_a_former_or_unknown_membership_leave_the_member_alone() {
    let service = Service::start().await;
    let former = service.join(1).await;
    service.handle(1, points_forfeited(1, former)).await;
    let current = service.join(1).await;
    let unknown = shared_events::MembershipId(uuid::Uuid::now_v7());
    let before = (service.counts().await, service.tombstones().await);

    for membership_id in [former, unknown] {
        let outcome = service.handle(1, points_forfeited(1, membership_id)).await;
        assert_eq!(outcome, Outcome::AlreadyApplied);
    }

    assert_eq!(service.membership(1).await, Some(current));
    assert_eq!((service.counts().await, service.tombstones().await), before);
}

#[tokio::test]
async fn a_welcome_and_a_forfeiture_at_once_end_in_one_withdrawal() {
    let service = Service::start().await;
    for member_id in 1..=20 {
        let membership_id = service.join(member_id).await;
        let (_, forfeited) = tokio::join!(
            service.handle(member_id, message_sent(member_id, membership_id)),
            service.handle(member_id, points_forfeited(member_id, membership_id)),
        );
        assert_eq!(forfeited, Outcome::Applied);
        assert_eq!(service.membership(member_id).await, None);
    }
    // Whichever came first: the versions count up without a gap, in the order of publication.
    let mut last = std::collections::HashMap::new();
    for event in published(&service.pool).await {
        let before = last.insert(event.key.clone(), event.sequence).unwrap_or(0);
        assert_eq!(event.sequence, before + 1, "{event:?}");
    }
}
