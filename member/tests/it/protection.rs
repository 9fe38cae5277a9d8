//! The layers around the call to point: bulkhead, circuit breaker, deadline, retry, timeout of an attempt.

use std::time::{Duration, Instant};

use chassis::testing::{Answer, bare, until};
use futures::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::support::point::Turn;
use crate::support::service::protection;
use crate::support::{Service, StubPoint};

/// Attempts that end soon, and a circuit that does not open.
const HASTY: [&str; 4] = [
    "--forfeit-attempt-timeout-ms=200",
    "--forfeit-timeout-ms=20000",
    "--forfeit-circuit-minimum-calls=1000",
    "--forfeit-retry-max-ms=20",
];

async fn hasty(point: &StubPoint, further: &[&str]) -> Service {
    Service::start_protected(point.url(), &protection(&[&HASTY, further].concat())).await
}

fn outcome(answer: &Answer) -> &str {
    assert_eq!(answer.problem(), (503, "try-again-later"), "{answer:?}");
    answer.body["outcome"].as_str().unwrap()
}

fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_fails_in_passing_is_tried_again_within_the_request() {
    for turns in [[Turn::Silence, Turn::Silence], [Turn::Status(503), Turn::Silence], [Turn::Status(500); 2]]
    {
        let point = StubPoint::forfeiting_after(turns).await;
        let service = hasty(&point, &[]).await;
        service.join(1).await;

        assert_eq!(service.delete(1).await.status, 204, "{turns:?}");

        assert_eq!(point.count(), 3);
        let asked = point.received(3).await;
        assert!(asked.windows(2).all(|pair| pair[0].body == pair[1].body), "{asked:?}");
    }
}

#[tokio::test]
async fn there_are_so_many_attempts_and_no_more() {
    let point = StubPoint::forfeiting().await;
    point.turn(Some(Turn::Status(503)));
    let service = hasty(&point, &["--forfeit-attempts=4"]).await;
    service.join(1).await;

    assert_eq!(outcome(&service.delete(1).await), "unknown");
    assert_eq!(point.count(), 4);
}

#[tokio::test]
async fn the_deadline_ends_the_attempts() {
    let point = StubPoint::forfeiting().await;
    point.turn(Some(Turn::Silence));
    let hasty = ["--forfeit-attempt-timeout-ms=300", "--forfeit-timeout-ms=500", "--forfeit-attempts=10"];
    let service = Service::start_protected(point.url(), &protection(&hasty)).await;
    service.join(1).await;
    let began = Instant::now();

    assert_eq!(outcome(&service.delete(1).await), "unknown");

    assert!(began.elapsed() >= Duration::from_millis(500));
    assert!(point.count() <= 2, "{}", point.count());
}

#[tokio::test]
async fn a_refusal_is_not_tried_again_and_does_not_open_the_circuit() {
    let point = StubPoint::forfeiting().await;
    point.turn(Some(Turn::Status(422)));
    let service = hasty(&point, &["--forfeit-circuit-minimum-calls=2"]).await;
    service.join(1).await;

    for asked in 1..=10 {
        assert_eq!(outcome(&service.delete(1).await), "unchanged");
        assert_eq!(point.count(), asked);
    }
    point.turn(None);
    assert_eq!(service.delete(1).await.status, 204);
}

#[tokio::test]
async fn a_refusal_after_an_attempt_that_may_have_arrived_leaves_the_outcome_unknown() {
    let point = StubPoint::forfeiting_after([Turn::Silence]).await;
    point.release();
    let service = hasty(&point, &[]).await;
    service.join(1).await;
    let refusing = async {
        point.received(1).await;
        point.turn(Some(Turn::Status(422)));
    };

    let (answer, ()) = tokio::join!(service.delete(1), refusing);

    assert_eq!(outcome(&answer), "unknown");
}

#[tokio::test]
async fn a_storm_of_retries_is_held_back_by_the_budget() {
    let point = StubPoint::forfeiting().await;
    point.turn(Some(Turn::Status(503)));
    let scarce = ["--forfeit-retries-per-second=1", "--forfeit-retry-percent=10"];
    let service = hasty(&point, &scarce).await;
    join_all((1..=50).map(|id| service.join(id))).await;

    let answers = join_all((1..=50).map(|id| service.delete(id))).await;

    assert!(answers.iter().all(|answer| outcome(answer) == "unknown"));
    // One attempt each, and the retries of one second of each of ten.
    assert!((50..=60).contains(&point.count()), "{}", point.count());
}

#[tokio::test]
async fn the_circuit_opens_after_failures_and_closes_when_point_is_well_again() {
    let point = StubPoint::forfeiting().await;
    point.turn(Some(Turn::Status(500)));
    let open = Duration::from_millis(700);
    let breaker = [
        "--forfeit-attempts=1",
        "--forfeit-circuit-minimum-calls=4",
        "--forfeit-circuit-open-ms=700",
        "--forfeit-circuit-trial-calls=2",
    ];
    let service = Service::start_protected(point.url(), &protection(&breaker)).await;
    join_all((1..=10).map(|id| service.join(id))).await;
    for member_id in 1..=3 {
        assert_eq!(outcome(&service.delete(member_id).await), "unknown");
    }
    let closed = Instant::now();
    assert_eq!(outcome(&service.delete(4).await), "unknown");

    let refused = service.delete(5).await;
    assert_eq!((outcome(&refused), point.count()), ("unchanged", 4), "point was left alone");
    assert!(retry_after(&refused) >= 1);

    until("a trial is let through", async || {
        service.delete(5).await;
        point.count() > 4
    })
    .await;
    assert!(closed.elapsed() >= open);
    assert_eq!(outcome(&service.delete(6).await), "unchanged", "a failed trial opens it again");

    point.turn(None);
    for member_id in 1..=10 {
        until("the withdrawals go on", async || {
            let status = service.delete(member_id).await.status;
            status == 204 || status == 404
        })
        .await;
    }
}

#[tokio::test]
async fn a_circuit_that_is_open_says_when_to_come_back() {
    let point = StubPoint::refused();
    let breaker =
        ["--forfeit-attempts=1", "--forfeit-circuit-minimum-calls=1", "--forfeit-circuit-open-ms=41500"];
    let service = Service::start_protected(point.url(), &protection(&breaker)).await;
    service.join(1).await;

    let (unreachable, open) = (service.delete(1).await, service.delete(1).await);

    assert_eq!((outcome(&unreachable), retry_after(&unreachable)), ("unchanged", 3));
    assert_eq!((outcome(&open), retry_after(&open)), ("unchanged", 42));
}

#[tokio::test]
async fn the_bulkhead_turns_away_what_is_too_much_and_nothing_else_waits() {
    let point = StubPoint::holding().await;
    let service = hasty(&point, &["--forfeit-attempt-timeout-ms=20000", "--forfeit-concurrency=3"]).await;
    join_all((1..=4).map(|id| service.join(id))).await;
    let held = join_all((1..=3).map(|id| service.delete(id)));
    let meanwhile = async {
        point.received(3).await;
        assert_eq!(outcome(&service.delete(4).await), "unchanged");
        service.join(5).await;
        for path in ["/members/1", "/members/5", "/members"] {
            assert_eq!(service.get(path).await.status, 200);
        }
        assert_eq!(point.count(), 3);
        point.release();
    };

    let (answers, ()) = tokio::join!(held, meanwhile);

    assert!(answers.iter().all(|answer| answer.status == 204));
    assert_eq!(service.delete(4).await.status, 204);
}

#[tokio::test]
async fn the_client_is_asked_in_its_language_to_try_again() {
    let service = Service::start().await;
    service.join(1).await;
    for (accepted, language, words) in [
        (None, "en", "try again shortly"),
        (Some("en-US,ko;q=0.5"), "en", "try again shortly"),
        (Some("ko-KR,ko;q=0.9,en;q=0.8"), "ko", "잠시 후 다시 시도해 주세요"),
    ] {
        let mut request = bare("DELETE /members/1");
        if let Some(accepted) = accepted {
            request.headers_mut().insert("accept-language", accepted.parse().unwrap());
        }

        let answer = service.ask(request).await;

        assert_eq!(outcome(&answer), "unchanged");
        assert_eq!(answer.header("content-language"), Some(language));
        assert_eq!(answer.header("vary"), Some("accept-language"));
        assert!(answer.body["detail"].as_str().unwrap().contains(words), "{answer:?}");
    }
}

#[tokio::test]
async fn the_metrics_show_the_circuit_the_bulkhead_the_retries_and_the_fallbacks() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let shows = |line: &str| {
        let metrics = handle.render();
        assert!(metrics.lines().any(|each| each == line), "no {line} in {metrics}");
    };
    let point = StubPoint::forfeiting_after([Turn::Status(503)]).await;
    let breaker =
        ["--forfeit-circuit-minimum-calls=2", "--forfeit-retry-max-ms=20", "--forfeit-concurrency=7"];
    let service = Service::start_protected(point.url(), &protection(&breaker)).await;
    join_all((1..=3).map(|id| service.join(id))).await;
    shows(r#"point_circuit_state{state="closed"} 1"#);
    shows(r#"point_circuit_state{state="open"} 0"#);
    shows("point_calls_limit 7");
    shows("point_call_retries_total 0");

    assert_eq!(service.delete(1).await.status, 204);
    shows("point_call_retries_total 1");
    shows("point_calls_in_flight 0");

    point.turn(Some(Turn::Status(500)));
    outcome(&service.delete(2).await);
    outcome(&service.delete(2).await);
    shows(r#"point_circuit_state{state="open"} 1"#);
    shows(r#"point_circuit_changes_total{to="open"} 1"#);
    shows(r#"withdrawal_fallbacks_total{reason="failed",outcome="unknown"} 1"#);
    shows(r#"withdrawal_fallbacks_total{reason="circuit_open",outcome="unchanged"} 1"#);
    shows(r#"point_call_failures_total{reason="circuit_open"} 1"#);
}
