//! Whenever a member's state is published.

use chassis::testing::DEADLINE;
use shared_events::delivery::Outcome;
use shared_events::event::MemberStatus::{Abnormal, Normal, Ready};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{EVENT_ACTOR, Membership, Service, entries};

#[tokio::test]
async fn the_first_event_of_a_member_opens_an_empty_account() {
    let membership = Membership::of(1);
    let service = Service::start().await;

    assert_eq!(service.deliver(membership.is(Ready, 1)).await, Outcome::Applied);

    let account = service.get("/points/1").await;
    assert_eq!((&account.body["memberStatus"], account.number("remainPoint")), (&"READY".into(), 0));
    assert_eq!(service.ledger(membership).await, []);
    assert_eq!(service.published(1).await, []);
}

#[tokio::test]
async fn a_normal_member_is_granted_1000_points_and_the_entry_says_why() {
    let membership = Membership::of(1);
    let service = Service::start().await;
    service.deliver(membership.is(Ready, 1)).await;
    let normal = membership.is(Normal, 2);
    let ce_id = normal.0.id;

    assert_eq!(service.deliver(normal).await, Outcome::Applied);

    assert_eq!(service.get("/points/1").await.number("remainPoint"), 1000);
    let (cause, actor): (Uuid, String) = sqlx::query_as("SELECT cause, actor FROM ledger_entry")
        .fetch_one(&service.pool)
        .await
        .expect("the only entry");
    assert_eq!((cause, actor.as_str()), (ce_id, EVENT_ACTOR));
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn an_abnormal_member_has_an_account_without_points() {
    let membership = Membership::of(2);
    let service = Service::start().await;
    service.deliver(membership.is(Ready, 1)).await;
    service.deliver(membership.is(Abnormal, 2)).await;

    let account = service.get("/points/2").await;
    assert_eq!((&account.body["memberStatus"], account.number("remainPoint")), (&"ABNORMAL".into(), 0));
    assert_eq!(service.ledger(membership).await, []);
}

#[tokio::test]
async fn the_same_event_again_grants_nothing_again() {
    let membership = Membership::of(1);
    let service = Service::start().await;
    service.deliver(membership.is(Ready, 1)).await;
    let normal = membership.is(Normal, 2);
    service.deliver(normal.clone()).await;
    let before = service.snapshot().await;

    assert_eq!(service.deliver(normal).await, Outcome::Stale);
    assert_eq!(service.deliver(membership.is(Normal, 2)).await, Outcome::Stale);

    assert_eq!(service.snapshot().await, before);
}

#[tokio::test]
async fn a_newer_event_of_a_normal_member_grants_nothing_again() {
    let membership = Membership::of(1);
    let service = Service::with_normal_member(membership).await;

    assert_eq!(service.deliver(membership.is(Normal, 3)).await, Outcome::Applied);

    assert_eq!(entries(&service.ledger(membership).await), [("SIGNUP", 1000, 1000)]);
    assert_eq!(service.published(1).await.len(), 1);
}

#[tokio::test]
async fn events_out_of_order_end_with_the_newest_status() {
    let membership = Membership::of(1);
    let service = Service::start().await;

    assert_eq!(service.deliver(membership.is(Normal, 2)).await, Outcome::Applied);
    assert_eq!(service.deliver(membership.is(Ready, 1)).await, Outcome::Stale);

    let account = service.get("/points/1").await;
    assert_eq!((&account.body["memberStatus"], account.number("remainPoint")), (&"NORMAL".into(), 1000));
    assert_eq!(service.change(1, -1).await.status, 200);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn a_rejoined_member_starts_anew_and_is_granted_points_of_its_own() {
    let (former, rejoined) = (Membership::of(1), Membership::of(1));
    let service = Service::with_normal_member(former).await;
    service.change(1, 500).await;
    service.forfeit(former).await;

    service.deliver(rejoined.is(Ready, 4)).await;
    assert_eq!(service.get("/points/1").await.number("remainPoint"), 0);
    service.deliver(rejoined.is(Normal, 5)).await;

    assert_eq!(service.get("/points/1").await.number("remainPoint"), 1000);
    assert_eq!(
        entries(&service.ledger(former).await),
        [("SIGNUP", 1000, 1000), ("EARN", 500, 1500), ("FORFEIT", -1500, 0)]
    );
    assert_eq!(entries(&service.ledger(rejoined).await), [("SIGNUP", 1000, 1000)]);
    let versions: Vec<_> =
        service.published(1).await.iter().map(|event| (event.membership_id, event.sequence)).collect();
    assert_eq!(versions, [(former.id.0, 1), (former.id.0, 2), (former.id.0, 3), (rejoined.id.0, 4)]);
}

#[tokio::test]
async fn late_events_of_a_former_membership_never_touch_the_new_one() {
    let (former, rejoined) = (Membership::of(1), Membership::of(1));
    let service = Service::with_normal_member(former).await;
    service.forfeit(former).await;
    service.deliver(rejoined.is(Ready, 4)).await;
    let before = service.snapshot().await;

    for late in [former.is(Ready, 1), former.is(Normal, 2), former.is(Abnormal, 2), former.is(Normal, 99)] {
        assert_eq!(service.deliver(late).await, Outcome::Stale);
    }
    let again = service.forfeit(former).await;

    assert_eq!((again.status.as_u16(), again.number("forfeitedPoint")), (200, 1000));
    assert_eq!(service.snapshot().await, before);
    assert_eq!(service.get("/points/1").await.body["memberStatus"], "READY");
}

#[tokio::test]
async fn an_event_of_a_membership_that_ended_unheard_of_opens_nothing() {
    let (former, current) = (Membership::of(1), Membership::of(1));
    let service = Service::start().await;
    service.deliver(current.is(Normal, 5)).await;
    let before = service.snapshot().await;

    assert_eq!(service.deliver(former.is(Ready, 1)).await, Outcome::Stale);
    assert_eq!(service.deliver(former.is(Normal, 2)).await, Outcome::Stale);

    assert_eq!(service.snapshot().await, before);
}

#[tokio::test]
async fn a_forfeiture_that_arrives_before_the_member_keeps_the_account_closed() {
    let membership = Membership::of(1);
    let service = Service::start().await;
    let forfeited = service.forfeit(membership).await;
    assert_eq!((forfeited.status.as_u16(), forfeited.number("forfeitedPoint")), (200, 0));
    let before = service.snapshot().await;

    assert_eq!(service.deliver(membership.is(Ready, 1)).await, Outcome::Stale);
    assert_eq!(service.deliver(membership.is(Normal, 2)).await, Outcome::Stale);

    assert_eq!(service.snapshot().await, before);
    assert_eq!(service.get("/points/1").await.problem(), (404, "account-not-found"));
    assert_eq!(service.change(1, 1).await.problem(), (404, "account-not-found"));
    assert_eq!(service.ledger(membership).await, []);
}

#[tokio::test]
async fn a_member_can_join_anew_after_a_forfeiture_that_arrived_first() {
    let (former, rejoined) = (Membership::of(1), Membership::of(1));
    let service = Service::start().await;
    service.forfeit(former).await;
    service.deliver(former.is(Normal, 2)).await;

    service.deliver(rejoined.is(Normal, 5)).await;

    assert_eq!(service.get("/points/1").await.number("remainPoint"), 1000);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn a_newer_membership_closes_the_open_account_of_the_former() {
    let (former, newer) = (Membership::of(1), Membership::of(1));
    let service = Service::with_normal_member(former).await;

    assert_eq!(service.deliver(newer.is(Normal, 4)).await, Outcome::Applied);

    assert_eq!(entries(&service.ledger(former).await), [("SIGNUP", 1000, 1000), ("FORFEIT", -1000, 0)]);
    assert_eq!(entries(&service.ledger(newer).await), [("SIGNUP", 1000, 1000)]);
    let types: Vec<_> = service.published(1).await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(types, ["PointsEarned", "PointsForfeited", "PointsEarned"]);
    assert_eq!(service.forfeit(former).await.number("forfeitedPoint"), 1000);
    assert_eq!(service.get("/points/1").await.number("remainPoint"), 1000);
    service.assert_books_are_right().await;
}

/// Else the work for an event would grow with every rejoin.
#[tokio::test]
async fn former_accounts_are_left_alone() {
    let (former, rejoined) = (Membership::of(1), Membership::of(1));
    let service = Service::with_normal_member(former).await;
    service.forfeit(former).await;
    let mut tx = service.pool.begin().await.expect("a transaction");
    sqlx::query("SELECT FROM account FOR UPDATE").execute(&mut *tx).await.expect("the locks");

    let next_life = async {
        service.deliver(rejoined.is(Ready, 4)).await;
        service.deliver(rejoined.is(Normal, 5)).await;
        service.forfeit(rejoined).await.number("forfeitedPoint")
    };

    assert_eq!(timeout(DEADLINE, next_life).await.expect("nobody waits for the former account"), 1000);
}

#[tokio::test]
async fn a_replay_of_everything_changes_nothing() {
    let (former, rejoined) = (Membership::of(1), Membership::of(1));
    let service = Service::start().await;
    let first_life = [former.is(Ready, 1), former.is(Normal, 2)];
    let second_life = [rejoined.is(Ready, 4), rejoined.is(Normal, 5)];
    for event in first_life.clone() {
        service.deliver(event).await;
    }
    service.change(1, -300).await;
    service.forfeit(former).await;
    for event in second_life.clone() {
        service.deliver(event).await;
    }
    service.change(1, 70).await;
    let before = service.snapshot().await;

    for event in first_life.into_iter().chain(second_life) {
        assert_eq!(service.deliver(event).await, Outcome::Stale);
    }

    assert_eq!(service.snapshot().await, before);
}

#[tokio::test]
async fn events_of_others_are_ignored() {
    let membership = Membership::of(1);
    let service = Service::with_normal_member(membership).await;
    let before = service.snapshot().await;
    let (envelope, _) = membership.is(Normal, 9);
    let withdrawn = shared_events::event::MemberWithdrawn {
        member_id: envelope.member_id,
        membership_id: membership.id,
        withdrawn_at: envelope.time,
    };

    let outcome = service.deliver((envelope, shared_events::Event::MemberWithdrawn(withdrawn))).await;

    assert_eq!(outcome, Outcome::Ignored);
    assert_eq!(service.snapshot().await, before);
}
