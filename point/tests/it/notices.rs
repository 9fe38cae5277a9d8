//! Members are told in time that points expire.

use chrono::{DateTime, TimeDelta, Utc};
use point::domain::NoticeStage;
use point::usecase::expire_points::BEGINNING;
use point::usecase::notify_expiry::notify_batch;
use serde_json::json;
use shared_events::delivery::Wake;
use shared_events::event::MemberStatus::Abnormal;

use crate::support::{Membership, Service};

fn end() -> DateTime<Utc> {
    "2026-07-01T00:00:00Z".parse().expect("a time")
}

async fn with_points_until_the_end(membership: Membership) -> Service {
    let service = Service::with_normal_member(membership).await;
    for (amount, reference) in [(100, "R-1"), (20, "R-2")] {
        let body = json!({ "type": "EARN", "amount": amount, "reference": reference, "expiresAt": end() });
        service.transact(1, &body).await;
    }
    service
}

/// How many expiries are told of at each stage.
async fn notify(service: &Service, now: DateTime<Utc>) -> Vec<usize> {
    let mut told = Vec::new();
    for stage in NoticeStage::ALL {
        let batch = notify_batch(&service.pool, &Wake::new(), stage, BEGINNING, now).await;
        told.push(batch.expect("they are told").0);
    }
    told
}

#[tokio::test]
async fn each_expiry_is_told_of_once_two_months_one_month_and_three_days_before() {
    let membership = Membership::of(1);
    let service = with_points_until_the_end(membership).await;
    let version = service.published(1).await.last().expect("an event").sequence;
    for (time, told) in [
        ("2026-04-30T23:59:59Z", [0, 0, 0]),
        ("2026-05-01T00:00:00Z", [1, 0, 0]),
        ("2026-05-20T00:00:00Z", [0, 0, 0]),
        ("2026-06-01T00:00:00Z", [0, 1, 0]),
        ("2026-06-27T00:00:00Z", [0, 0, 0]),
        ("2026-06-28T00:00:00Z", [0, 0, 1]),
        ("2026-06-30T23:59:59Z", [0, 0, 0]),
        ("2026-07-01T00:00:00Z", [0, 0, 0]),
    ] {
        assert_eq!(notify(&service, time.parse().expect("a time")).await, told, "{time}");
    }
    let published = service.published(1).await;
    let notices: Vec<_> = published.iter().filter(|event| event.event_type == "PointsExpiring").collect();
    let stages: Vec<_> =
        notices.iter().map(|event| event.payload["stage"].as_str().expect("a stage")).collect();
    assert_eq!(stages, ["TWO_MONTHS", "ONE_MONTH", "THREE_DAYS"]);
    assert!(notices.iter().all(|event| event.sequence == version), "nothing has changed");
    assert_eq!(
        notices[0].payload,
        json!({
            "memberId": 1, "membershipId": membership.id, "points": 120, "expiresAt": end(), "stage": "TWO_MONTHS",
            "remainPoint": 1_120, "nextExpiration": { "points": 120, "expiresAt": end() },
            "occurredAt": "2026-05-01T00:00:00Z",
        })
    );
}

#[tokio::test]
async fn what_expires_on_one_day_in_seoul_is_told_of_at_once() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let ends =
        ["2026-06-29T15:00:00Z", "2026-06-29T15:00:01Z", "2026-06-30T06:00:00Z", "2026-06-30T15:00:00Z"];
    for (reference, expires_at) in ["R-1", "R-2", "R-3", "R-4"].into_iter().zip(ends) {
        let body = json!({ "type": "EARN", "amount": 10, "reference": reference, "expiresAt": expires_at });
        service.transact(1, &body).await;
    }
    // The first of each day is due, then the others of the second day.
    for (time, told) in
        [("2026-06-26T15:00:01Z", 2), ("2026-06-27T06:00:00Z", 0), ("2026-06-28T00:00:00Z", 0)]
    {
        assert_eq!(notify(&service, time.parse().expect("a time")).await[2], told, "{time}");
    }
    let published = service.published(1).await;
    let notices = published
        .iter()
        .filter(|event| event.event_type == "PointsExpiring" && event.payload["stage"] == "THREE_DAYS");
    let notices: Vec<_> =
        notices.map(|event| (&event.payload["points"], &event.payload["expiresAt"])).collect();
    assert_eq!(notices, [(&json!(10), &json!(ends[0])), (&json!(30), &json!(ends[1]))]);
}

#[tokio::test]
async fn points_that_expire_within_days_are_told_of_once() {
    let service = with_points_until_the_end(Membership::of(1)).await;
    assert_eq!(notify(&service, end() - TimeDelta::days(2)).await, [0, 0, 1]);
}

#[tokio::test]
async fn who_has_used_the_points_or_is_not_normal_is_not_told() {
    let in_time = end() - TimeDelta::days(2);
    let service = with_points_until_the_end(Membership::of(1)).await;
    service.change(1, -120).await;
    assert_eq!(notify(&service, in_time).await, [0, 0, 0]);

    let membership = Membership::of(1);
    let service = with_points_until_the_end(membership).await;
    service.deliver(membership.is(Abnormal, 3)).await;
    assert_eq!(notify(&service, in_time).await, [0, 0, 0]);

    let membership = Membership::of(1);
    let service = with_points_until_the_end(membership).await;
    service.forfeit(membership).await;
    assert_eq!(notify(&service, in_time).await, [0, 0, 0]);
}

#[tokio::test]
async fn two_replicas_tell_each_member_once() {
    let service = with_points_until_the_end(Membership::of(1)).await;
    let in_time = end() - TimeDelta::days(2);
    let (one, other) = tokio::join!(notify(&service, in_time), notify(&service, in_time));
    let told: usize = one.iter().chain(&other).sum();
    assert!(told <= 1, "{one:?} {other:?}");
    notify(&service, in_time).await;
    let published = service.published(1).await;
    assert_eq!(published.iter().filter(|event| event.event_type == "PointsExpiring").count(), 1);
}

/// Both jobs skip what is locked; where they met, one would leave the account out until its next round.
#[tokio::test]
async fn an_expiry_at_the_same_time_keeps_nobody_from_being_told() {
    let service = with_points_until_the_end(Membership::of(1)).await;
    let now = end() - TimeDelta::days(2);
    let mut expires = service.pool.begin().await.expect("a transaction");
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('point.job'))")
        .execute(&mut *expires)
        .await
        .expect("the lock");
    sqlx::query("SELECT FROM account FOR UPDATE").execute(&mut *expires).await.expect("the account");
    let pool = service.pool.clone();
    let told = tokio::spawn(async move {
        notify_batch(&pool, &Wake::new(), NoticeStage::ThreeDays, BEGINNING, now)
            .await
            .expect("they are told")
            .0
    });
    chassis::testing::until("the notices wait for their turn", async || {
        let waiting = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
                                      WHERE locktype = 'advisory' AND NOT granted AND datname = current_database())";
        sqlx::query_scalar(waiting).fetch_one(&service.pool).await.expect("the locks")
    })
    .await;
    expires.commit().await.expect("the expiry is over");
    assert_eq!(told.await.expect("no panic"), 1);
}
