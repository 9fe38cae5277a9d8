//! Each withdrawal is published a second time a day later.

use chrono::{DateTime, TimeDelta, Utc};
use member::usecase::republish_withdrawals::republish_due;

use crate::support::events::{published, summaries};
use crate::support::{Service, StubPoint};

async fn service() -> Service {
    Service::start_with(StubPoint::forfeiting().await.url()).await
}

async fn republish_at(service: &Service, now: DateTime<Utc>) -> usize {
    republish_due(&service.pool, &service.relay, now).await.unwrap()
}

fn in_hours(hours: i64) -> DateTime<Utc> {
    Utc::now() + TimeDelta::hours(hours)
}

#[tokio::test]
async fn a_withdrawal_is_published_again_after_a_day_and_only_once() {
    let service = service().await;
    service.join(1).await;
    service.delete(1).await;
    assert_eq!(republish_at(&service, in_hours(0)).await, 0);
    assert_eq!(republish_at(&service, in_hours(23)).await, 0);

    assert_eq!(republish_at(&service, in_hours(25)).await, 1);

    assert_eq!(republish_at(&service, in_hours(25)).await, 0);
    assert_eq!(republish_at(&service, in_hours(24 * 365)).await, 0);
    let events = published(&service.pool).await;
    let [_, first, second] = events.as_slice() else { panic!("three events expected: {events:?}") };
    assert_eq!(second.summary(), ("MemberWithdrawn", 2));
    assert_eq!(
        (&first.payload, &first.key, first.membership_id),
        (&second.payload, &second.key, second.membership_id),
        "the same fact again"
    );
    assert_eq!(second.actor, "service:member");
}

#[tokio::test]
async fn a_withdrawal_is_not_published_again_after_a_rejoin() {
    let service = service().await;
    service.join(1).await;
    service.delete(1).await;
    service.join(1).await;

    assert_eq!(republish_at(&service, in_hours(48)).await, 0);

    assert_eq!(published(&service.pool).await.last().unwrap().summary(), ("MemberJoined", 3));
}

#[tokio::test]
async fn the_withdrawal_of_a_later_membership_is_published_again_too() {
    let service = service().await;
    service.join(1).await;
    service.delete(1).await;
    assert_eq!(republish_at(&service, in_hours(25)).await, 1);
    service.join(1).await;
    service.delete(1).await;

    assert_eq!(republish_at(&service, in_hours(25)).await, 1);

    let versions: Vec<i64> = summaries(&service.pool).await.into_iter().map(|(_, version)| version).collect();
    assert_eq!(versions, [1, 2, 2, 3, 4, 4]);
}

#[tokio::test]
async fn replicas_that_publish_at_once_publish_each_withdrawal_once() {
    let service = service().await;
    for member_id in 1..=20 {
        service.join(member_id).await;
        service.delete(member_id).await;
    }

    let now = in_hours(25);
    let replicas = (0..4).map(|_| republish_at(&service, now));
    let published: usize = futures::future::join_all(replicas).await.into_iter().sum();

    assert_eq!(published, 20);
    assert_eq!(service.counts().await, (0, 60));
}

#[tokio::test]
async fn a_day_with_many_withdrawals_is_published_in_batches() {
    let service = service().await;
    sqlx::query(
        "INSERT INTO tombstone (member_id, membership_id, last_version, withdrawn_at)
         SELECT id, gen_random_uuid(), 2, now() FROM generate_series(1, 700) AS id",
    )
    .execute(&service.pool)
    .await
    .unwrap();
    let now = in_hours(25);

    let batches = [
        republish_at(&service, now).await,
        republish_at(&service, now).await,
        republish_at(&service, now).await,
    ];

    assert_eq!(batches, [500, 200, 0]);
}
