//! The spending guard: what is beyond a limit waits, and fails nobody.

use chassis::testing::until;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use message::domain::{Limits, Scope};
use message::gateway::SendError;
use message::store::send_counts;
use message::usecase::claim_messages::SpendingGuard;
use message::worker::Worker;

use crate::support::events::{published, withdrawn};
use crate::support::{RunningWorker, Service, StubGateway, worker};

/// The end of a day, an hour and a minute are far away: half past twelve and half a minute.
fn clock() -> DateTime<Utc> {
    "2026-11-24T12:30:30Z".parse().unwrap()
}

fn limited(service: &Service, gateway: &StubGateway, limits: Limits) -> RunningWorker {
    let guard = SpendingGuard::new(limits);
    RunningWorker::run(Worker { guard, clock, ..worker(service, gateway.clone()) })
}

/// Queues messages to these numbers, due before [`clock`] and in this order.
async fn queue(service: &Service, numbers: &[&str]) {
    sqlx::query(
        "INSERT INTO message (member_id, membership_id, kind, phone_no, status, due_at, queued_at)
         SELECT number, gen_random_uuid(), 'WELCOME', phone_no, 'QUEUED', $2 + number * interval '1 ms', $2
         FROM unnest($1::text[]) WITH ORDINALITY AS new (phone_no, number)",
    )
    .bind(numbers)
    .bind(clock() - TimeDelta::hours(1))
    .execute(&service.pool)
    .await
    .unwrap();
}

/// Waits until so many are sent and the guard has looked at all others.
async fn until_sent(service: &Service, count: i64) {
    until("some are sent", async || service.count("SENT").await == count).await;
}

async fn due_times(service: &Service) -> Vec<DateTime<Utc>> {
    let stored = service.stored().await;
    stored.into_iter().filter(|message| message.status == "QUEUED").map(|message| message.due_at).collect()
}

#[tokio::test]
async fn what_is_beyond_the_limit_of_a_number_or_prefix_waits_for_the_next_window() {
    let number = "01012345678";
    for (limits, numbers, until_then) in [
        (Limits { number: Some(2), ..Limits::default() }, [number; 3], "2026-11-25T00:00:00Z"),
        (
            Limits { prefix: Some(2), ..Limits::default() },
            ["01012340001", "01012340002", "01012340003"],
            "2026-11-24T13:00:00Z",
        ),
    ] {
        let service = Service::start().await;
        queue(&service, &numbers).await;
        let gateway = StubGateway::accepting();
        let today = limited(&service, &gateway, limits);
        until_sent(&service, 2).await;
        today.stop().await;

        assert_eq!(due_times(&service).await, [until_then.parse::<DateTime<Utc>>().unwrap()]);
        let waiting = service.stored().await.into_iter().find(|message| message.status == "QUEUED").unwrap();
        assert_eq!((waiting.attempts, waiting.admitted_at, waiting.claim), (0, None, None));
        assert_eq!(published(&service.pool).await.len(), 2, "nobody has failed");

        // In the next window it is sent.
        let later = || clock() + TimeDelta::days(1);
        let guard = SpendingGuard::new(limits);
        let tomorrow =
            RunningWorker::run(Worker { guard, clock: later, ..worker(&service, gateway.clone()) });
        until_sent(&service, 3).await;
        tomorrow.stop().await;
    }
}

#[tokio::test]
async fn all_replicas_together_keep_within_the_limit_of_a_minute() {
    let service = Service::start().await;
    let numbers: Vec<String> = (0..60).map(|number| format!("0101234{number:04}")).collect();
    queue(&service, &numbers.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let limits = Limits { overall: Some(25), ..Limits::default() };
    let gateway = StubGateway::accepting();
    let workers = [limited(&service, &gateway, limits), limited(&service, &gateway, limits)];
    until_sent(&service, 25).await;
    for worker in workers {
        worker.wake.wake();
        worker.stop().await;
    }
    assert_eq!(gateway.count(), 25);
    let counted: i64 =
        sqlx::query_scalar("SELECT sum(count) FROM send_count").fetch_one(&service.pool).await.unwrap();
    assert_eq!(counted, 25, "what was not let through does not count");
}

#[tokio::test]
async fn a_message_counts_once_however_often_it_is_tried() {
    let service = Service::start().await;
    queue(&service, &["01012345678"]).await;
    let gateway = StubGateway::failing(SendError::Unavailable { reason: "no".to_owned(), retry_after: None });
    let limits = Limits { number: Some(1), prefix: Some(1), overall: Some(1) };
    let worker = limited(&service, &gateway, limits);
    for attempts in 1..=4 {
        until("it is put back", async || {
            let message = service.the_message().await;
            message.attempts == attempts && message.claim.is_none()
        })
        .await;
        let due = "UPDATE message SET due_at = $1";
        sqlx::query(due).bind(clock()).execute(&service.pool).await.unwrap();
        worker.wake.wake();
    }
    gateway.answer(Ok(()));
    until_sent(&service, 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn joining_and_withdrawing_over_and_over_does_not_get_around_the_limit_of_a_number() {
    let service = Service::start().await;
    let gateway = StubGateway::accepting();
    let limits = Limits { number: Some(2), ..Limits::default() };
    let guard = SpendingGuard::new(limits);
    let worker = RunningWorker::run(Worker { guard, ..worker(&service, gateway.clone()) });
    for round in 1..=2 {
        let membership_id = service.queue(1).await;
        until("it is sent", async || gateway.count() == round).await;
        until("that is noted", async || service.count("SENT").await == i64::from(round)).await;
        service.handle(1, withdrawn(1, membership_id)).await;
    }
    service.queue(1).await;
    worker.wake.wake();
    until("it waits", async || due_times(&service).await.iter().any(|due| *due > Utc::now())).await;
    worker.stop().await;
    assert_eq!(gateway.count(), 2);
    let tomorrow = Utc::now().duration_trunc(TimeDelta::days(1)).unwrap() + TimeDelta::days(1);
    assert_eq!(due_times(&service).await, [tomorrow]);
}

#[tokio::test]
async fn a_number_cannot_be_read_from_the_counters_and_they_are_forgotten() {
    let service = Service::start().await;
    queue(&service, &["01012345678"]).await;
    let limits = Limits { number: Some(1), prefix: Some(1), overall: Some(1) };
    let worker = limited(&service, &StubGateway::accepting(), limits);
    until_sent(&service, 1).await;
    worker.stop().await;
    let rows = "SELECT send_count::text || encode(fingerprint, 'escape') FROM send_count";
    let rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(&service.pool).await.unwrap();
    assert_eq!(rows.len(), 3);
    assert!(!rows.concat().contains("1234"), "{rows:?}");

    for (scope, window_end) in [
        (Scope::Overall, "2026-11-24T12:31:00Z"),
        (Scope::Prefix, "2026-11-24T13:00:00Z"),
        (Scope::Number, "2026-11-25T00:00:00Z"),
    ] {
        let end: DateTime<Utc> = window_end.parse().unwrap();
        for (now, purged) in [(end - TimeDelta::seconds(1), 0), (end, 1), (end, 0)] {
            let result = send_counts::purge(&service.pool, scope, now).await;
            assert_eq!(result.unwrap(), purged, "{scope:?} at {now}");
        }
    }
}

#[tokio::test]
async fn what_was_let_through_before_is_tried_again_while_others_wait_for_the_next_minute() {
    let service = Service::start().await;
    let numbers: Vec<String> = (0..40).map(|number| format!("0101234{number:04}")).collect();
    queue(&service, &numbers.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let limits = Limits { overall: Some(1), ..Limits::default() };
    let gateway = StubGateway::failing(SendError::Unavailable { reason: "no".to_owned(), retry_after: None });
    let worker = limited(&service, &gateway, limits);
    until("one is put back", async || {
        service.stored().await.iter().any(|message| message.attempts == 1 && message.claim.is_none())
    })
    .await;
    gateway.answer(Ok(()));
    let due = "UPDATE message SET due_at = $1 WHERE attempts = 1";
    sqlx::query(due).bind(clock()).execute(&service.pool).await.unwrap();
    worker.wake.wake();
    until_sent(&service, 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn those_behind_many_that_are_delayed_go_out_at_once() {
    let service = Service::start().await;
    let mut numbers = vec!["01012340000"; 300];
    numbers.push("01099990000");
    queue(&service, &numbers).await;
    let gateway = StubGateway::accepting();
    let worker = limited(&service, &gateway, Limits { number: Some(1), ..Limits::default() });
    until_sent(&service, 2).await;
    worker.stop().await;
    assert_eq!(service.stored().await.last().map(|message| message.status.clone()), Some("SENT".to_owned()));
}
