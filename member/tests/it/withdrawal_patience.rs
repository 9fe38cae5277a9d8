//! `DELETE /members/{id}` when it takes longer than its client waits, or its client is gone.

use std::time::Duration;

use chassis::testing::{Answer, Log, until};

use crate::support::events::summaries;
use crate::support::{Service, StubPoint};

/// What only a saga that is held back exceeds.
const SHORT: Duration = Duration::from_millis(500);

const INCOMPLETE: &str = "a withdrawal did not complete";

fn assert_unknown(answer: &Answer) {
    assert_eq!(answer.problem(), (503, "try-again-later"), "{answer:?}");
    assert_eq!(answer.body["outcome"], "unknown");
    assert!(answer.header("retry-after").is_some());
}

/// Asserts that a withdrawal whose client is gone completes.
async fn assert_completes(service: &Service) {
    until("the withdrawal completes", async || service.get("/members/1").await.status == 404).await;
    let (joined, withdrawn) = ("MemberJoined".to_owned(), "MemberWithdrawn".to_owned());
    assert_eq!(summaries(&service.pool).await, [(joined, 1), (withdrawn, 2)]);
}

#[tokio::test]
async fn the_outcome_is_unknown_while_point_is_slow_and_the_withdrawal_goes_on() {
    let point = StubPoint::holding().await;
    let service = Service::start_with_patience(point.url(), SHORT).await;
    service.join(1).await;

    assert_unknown(&service.delete(1).await);

    assert_eq!(service.status(1).await, "READY");
    point.release();
    assert_completes(&service).await;
    assert_eq!(point.received(1).await.len(), 1);
}

#[tokio::test]
async fn the_outcome_is_unknown_while_the_database_is_slow_and_the_withdrawal_goes_on() {
    let service = Service::start_with_patience(StubPoint::forfeiting().await.url(), SHORT).await;
    service.join(1).await;
    let mut lock = service.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM member FOR UPDATE").execute(&mut *lock).await.unwrap();

    assert_unknown(&service.delete(1).await);

    lock.rollback().await.unwrap();
    assert_completes(&service).await;
}

#[tokio::test]
async fn a_withdrawal_that_fails_is_logged_once_whether_or_not_its_client_is_there() {
    for client_waits in [true, false] {
        let point = StubPoint::holding().await;
        let service = Service::start_with(point.url()).await;
        service.join(1).await;
        let log = Log::capture();
        let mut withdrawal = Box::pin(service.delete(1));
        tokio::select! {
            _ = point.received(1) => {}
            answer = &mut withdrawal => panic!("point has not answered: {answer:?}"),
        }
        service.database.as_owner("ALTER TABLE tombstone RENAME TO elsewhere").await;

        point.release();
        if client_waits {
            assert_unknown(&withdrawal.await);
        } else {
            drop(withdrawal);
        }

        until("it is logged", async || log.count(INCOMPLETE) > 0).await;
        assert_eq!(log.count(INCOMPLETE), 1);
    }
}
