//! A withdrawn memberId joins anew.

use serde_json::json;
use shared_events::delivery::Outcome;

use crate::support::events::{message_sent, points_forfeited, published, summaries};
use crate::support::lock::until_somebody_waits_for_a_lock;
use crate::support::service::handle_in_tx;
use crate::support::{Service, StubPoint, applicant};

fn summary(event_type: &str, version: i64) -> (String, i64) {
    (event_type.to_owned(), version)
}

#[tokio::test]
async fn the_version_goes_on_in_a_new_membership() {
    let service = Service::start_with(StubPoint::forfeiting().await.url()).await;
    let mut memberships = Vec::new();
    for _ in 0..3 {
        let membership_id = service.join(1).await;
        assert_eq!(service.status(1).await, "READY");
        let outcome = service.handle(1, message_sent(1, membership_id)).await;
        assert_eq!(outcome, Outcome::Applied);
        assert_eq!(service.delete(1).await.status, 204);
        memberships.push(membership_id.0);
    }

    let events = published(&service.pool).await;
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=9).collect::<Vec<_>>());
    for (events, membership_id) in events.chunks(3).zip(&memberships) {
        assert!(events.iter().all(|event| event.membership_id == *membership_id));
        for event in events {
            assert_eq!(event.payload["membershipId"], json!(membership_id));
        }
    }
    memberships.dedup();
    assert_eq!(memberships.len(), 3);
    assert_eq!(service.tombstones().await.len(), 1);
}

#[tokio::test]
async fn nothing_of_the_former_membership_shows_in_the_new_one() {
    let service = Service::start_with(StubPoint::forfeiting().await.url()).await;
    let former = service.join(1).await;
    service.handle(1, message_sent(1, former)).await;
    service.delete(1).await;

    let rejoined = service.post(&json!({ "memberId": 1, "phoneNo": "2", "nickname": "NEW" })).await;

    assert_eq!(rejoined.status, 201);
    let body = rejoined.body;
    assert_eq!(
        (&body["phoneNo"], &body["nickname"], &body["memberStatus"]),
        (&json!("2"), &json!("NEW"), &json!("READY"))
    );
}

#[tokio::test]
async fn who_joins_while_a_withdrawal_is_about_to_commit_goes_on_from_it() {
    let service = Service::start().await;
    let former = service.join(1).await;
    let mut withdrawal = service.pool.begin().await.unwrap();
    handle_in_tx(&mut withdrawal, 1, points_forfeited(1, former)).await;
    let committing = async {
        until_somebody_waits_for_a_lock(&service.pool).await;
        withdrawal.commit().await.unwrap();
    };

    let body = applicant(1);
    let (rejoined, ()) = tokio::join!(service.post(&body), committing);

    assert_eq!(rejoined.status, 201, "{rejoined:?}");
    assert_eq!(
        summaries(&service.pool).await,
        [summary("MemberJoined", 1), summary("MemberWithdrawn", 2), summary("MemberJoined", 3)]
    );
    let current = service.membership(1).await.unwrap();
    assert_ne!(current, former);
    assert_eq!(service.handle(1, message_sent(1, current)).await, Outcome::Applied);
    assert_eq!(summaries(&service.pool).await[3], summary("MemberStatusChanged", 4));
}

#[tokio::test]
async fn who_joins_while_a_withdrawal_is_about_to_fail_is_told_that_the_id_is_taken() {
    let service = Service::start().await;
    let membership_id = service.join(1).await;
    let mut withdrawal = service.pool.begin().await.unwrap();
    handle_in_tx(&mut withdrawal, 1, points_forfeited(1, membership_id)).await;
    let failing = async {
        until_somebody_waits_for_a_lock(&service.pool).await;
        withdrawal.rollback().await.unwrap();
    };

    let body = applicant(1);
    let (refused, ()) = tokio::join!(service.post(&body), failing);

    assert_eq!(refused.problem(), (409, "member-id-taken"));
    assert_eq!(service.membership(1).await, Some(membership_id));
    assert_eq!(service.counts().await, (1, 1));
}

#[tokio::test]
async fn who_joins_with_the_number_of_somebody_about_to_withdraw_gets_it() {
    let service = Service::start().await;
    let leaving = service.join(1).await;
    let mut withdrawal = service.pool.begin().await.unwrap();
    handle_in_tx(&mut withdrawal, 1, points_forfeited(1, leaving)).await;
    let committing = async {
        until_somebody_waits_for_a_lock(&service.pool).await;
        withdrawal.commit().await.unwrap();
    };
    let mut body = applicant(1);
    body["memberId"] = json!(2);

    let (joined, ()) = tokio::join!(service.post(&body), committing);

    assert_eq!(joined.status, 201, "{joined:?}");
    assert_eq!(summaries(&service.pool).await[2], summary("MemberJoined", 1));
}

#[tokio::test]
async fn joining_and_withdrawing_over_and_over_at_once_leaves_versions_without_a_gap() {
    let service = Service::start_with(StubPoint::forfeiting().await.url()).await;
    let body = applicant(1);
    let join_over_and_over = async || {
        for _ in 0..15 {
            let status = service.post(&body).await.status.as_u16();
            assert!([201, 409].contains(&status), "{status}");
        }
    };
    let withdraw_over_and_over = async || {
        for _ in 0..15 {
            let status = service.delete(1).await.status.as_u16();
            assert!([204, 404].contains(&status), "{status}");
        }
    };

    tokio::join!(
        join_over_and_over(),
        withdraw_over_and_over(),
        join_over_and_over(),
        withdraw_over_and_over(),
    );

    for (before, event) in (0..).zip(published(&service.pool).await) {
        assert_eq!(event.sequence, before + 1);
        let expected = if before % 2 == 0 { "MemberJoined" } else { "MemberWithdrawn" };
        assert_eq!(event.event_type, expected);
    }
}
