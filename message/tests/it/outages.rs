//! What becomes of messages while Postgres or a send fails.

use std::time::{Duration, Instant};

use chassis::testing::{Log, until};

use crate::support::events::published;
use crate::support::{RunningWorker, Service, StubGateway};

/// The grace of a shutdown.
const GRACE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_outcome_that_cannot_be_noted_at_first_is_noted_later_and_the_message_not_sent_again() {
    let service = Service::start().await;
    service.queue(1).await;
    // A sequence shows how often it has failed: it is not rolled back.
    let failing = "CREATE SEQUENCE failures;
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
             $$ BEGIN PERFORM nextval('message.failures'); RAISE 'no outcomes'; END $$;
         CREATE TRIGGER fail BEFORE UPDATE ON message FOR EACH ROW WHEN (new.status = 'SENT')
             EXECUTE FUNCTION fail();
         GRANT SELECT ON failures TO message_app";
    service.database.as_owner(failing).await;
    let gateway = StubGateway::accepting();
    let worker = RunningWorker::start(&service, &gateway);
    until("it fails over and over", async || {
        let failures: i64 =
            sqlx::query_scalar("SELECT last_value FROM failures").fetch_one(&service.pool).await.unwrap();
        failures >= 3
    })
    .await;
    service.database.as_owner("DROP TRIGGER fail ON message").await;

    service.until_status("SENT").await;
    worker.stop().await;

    assert_eq!((gateway.count(), service.the_message().await.attempts), (1, 1));
    assert_eq!(published(&service.pool).await.len(), 1);
}

#[tokio::test]
async fn a_worker_that_cannot_note_an_outcome_does_not_hold_up_a_shutdown() {
    let service = Service::start().await;
    service.queue(1).await;
    let gateway = StubGateway::holding();
    let worker = RunningWorker::start(&service, &gateway);
    gateway.until_in_flight(1).await;
    let mut lock = service.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM message FOR UPDATE").execute(&mut *lock).await.unwrap();
    gateway.release();
    let log = Log::capture();
    let stopped = Instant::now();

    worker.stop().await;

    assert!(stopped.elapsed() < GRACE, "{:?}", stopped.elapsed());
    assert_eq!(log.count("the outcome could not be noted"), 1);
    lock.rollback().await.unwrap();
}

#[tokio::test]
async fn a_worker_whose_claim_is_not_answered_fails_to_be_restarted() {
    let service = Service::start().await;
    let mut lock = service.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE message IN EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();

    let ended = RunningWorker::start(&service, &StubGateway::accepting()).ended().await;

    assert!(matches!(ended, Err(sqlx::Error::Io(_))), "{ended:?}");
    lock.rollback().await.unwrap();
}

#[tokio::test]
async fn a_send_that_panics_is_logged_and_the_next_message_is_sent() {
    let service = Service::start().await;
    let log = Log::capture();
    service.queue(1).await;
    let gateway = StubGateway::panicking();
    let worker = RunningWorker::start(&service, &gateway);
    until("it is logged", async || log.count("sending broke off") == 1).await;

    gateway.answer(Ok(()));
    service.queue(2).await;
    service.until_status("SENT").await;
    worker.stop().await;

    assert_eq!((gateway.count(), service.count("QUEUED").await), (2, 1));
}
