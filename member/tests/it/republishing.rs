//! Each withdrawal is published a second time a day later.

use chassis::testing::Gate;
use chrono::{DateTime, TimeDelta, Utc};
use member::usecase::republish_withdrawals::republish_due;

use crate::support::events::{message_sent, points_forfeited, published, summaries};
use crate::support::service::handle_in_tx;
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
async fn after_a_rejoin_the_member_is_published_again_as_it_stands_and_only_once() {
    for (is_welcomed, last) in [(false, ("MemberJoined", 3)), (true, ("MemberStatusChanged", 4))] {
        let service = service().await;
        service.join(1).await;
        service.delete(1).await;
        let current = service.join(1).await;
        if is_welcomed {
            service.handle(1, message_sent(1, current)).await;
        }
        let before = published(&service.pool).await;
        assert_eq!(republish_at(&service, in_hours(23)).await, 0);

        assert_eq!(republish_at(&service, in_hours(25)).await, 1);
        assert_eq!(republish_at(&service, in_hours(24 * 365)).await, 0);

        let events = published(&service.pool).await;
        let [.., first, second] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((events.len(), second.summary()), (before.len() + 1, last));
        assert_eq!((&first.payload, first.sequence), (&second.payload, second.sequence), "the same again");
        assert_eq!((second.membership_id, second.actor.as_str()), (current.0, "service:member"));
    }
}

#[tokio::test]
async fn a_withdrawal_that_was_published_again_before_the_rejoin_leaves_nothing_to_do() {
    let service = service().await;
    service.join(1).await;
    service.delete(1).await;
    assert_eq!(republish_at(&service, in_hours(25)).await, 1);
    service.join(1).await;

    assert_eq!(republish_at(&service, in_hours(50)).await, 0);
}

#[tokio::test]
async fn who_is_about_to_withdraw_again_is_left_to_that_withdrawal() {
    let service = service().await;
    service.join(1).await;
    service.delete(1).await;
    let current = service.join(1).await;
    let mut withdrawal = service.pool.begin().await.unwrap();
    handle_in_tx(&mut withdrawal, 1, points_forfeited(1, current)).await;

    assert_eq!(republish_at(&service, in_hours(25)).await, 0);
    withdrawal.commit().await.unwrap();

    assert_eq!(published(&service.pool).await.last().unwrap().summary(), ("MemberWithdrawn", 4));
    assert_eq!(republish_at(&service, in_hours(25)).await, 1);
    assert_eq!(published(&service.pool).await.last().unwrap().summary(), ("MemberWithdrawn", 4));
}

#[tokio::test]
async fn a_withdrawal_is_not_published_again_while_its_id_is_about_to_rejoin() {
    let service = service().await;
    service.join(1).await;
    service.delete(1).await;
    // Held up where the joining has touched the tombstone and writes its event.
    let mut gate = Gate::before("outbox", &service.database.owner_url()).await;
    let republishing = async {
        gate.holds_somebody_up().await;
        assert_eq!(republish_at(&service, in_hours(25)).await, 0);
        gate.open().await;
    };

    tokio::join!(service.join(1), republishing);

    assert_eq!(published(&service.pool).await.last().unwrap().summary(), ("MemberJoined", 3));
    assert_eq!(republish_at(&service, in_hours(25)).await, 1);
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
