//! The end of a whole process: what is finished, what is cut, and what the tasks are told.

// Clippy does not see that helpers are tests, too.
#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use local_stack::process::Signal;
use support::hello::{Hello, ask_owned, postgres, until_counted};
use support::{Client, ask, until};
use tokio::net::TcpStream;

#[tokio::test]
async fn it_goes_on_serving_while_it_drains() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &["--drain-ms=600000"]).await;

    hello.process.signal(Signal::SIGTERM);
    hello.until_status("/readyz", 503).await;

    assert_eq!(hello.get("/readyz").await.json()["reason"], "draining");
    assert_eq!(hello.get("/livez").await.status, 200);
    assert_eq!(hello.get("/greetings").await.status, 200);
}

#[tokio::test]
async fn connections_that_are_kept_are_given_up_while_it_drains() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &["--drain-ms=600000"]).await;
    let mut kept = Client::connect(hello.public).await;

    hello.process.signal(Signal::SIGTERM);
    hello.until_status("/readyz", 503).await;
    kept.send("GET /greetings HTTP/1.1\r\nhost: test\r\n\r\n").await;

    let answer = kept.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
}

#[tokio::test]
async fn requests_in_flight_are_finished_before_it_ends() {
    let postgres = postgres().await;
    let patient = ["--drain-ms=100", "--shutdown-grace-ms=60000", "--request-timeout-ms=60000"];
    let hello = Hello::start_ready(&postgres.admin_url(), &patient).await;
    let held = tokio::spawn(ask_owned(hello.public, "GET /held"));
    until_counted(&hello, 1).await;

    hello.process.signal(Signal::SIGTERM);
    until("no connection is accepted any more", async || TcpStream::connect(hello.public).await.is_err())
        .await;
    assert!(!held.is_finished() && hello.process.exit_status().is_none());
    hello.process.signal(Signal::SIGUSR1);

    assert_eq!(held.await.unwrap().status, 200);
    assert_eq!(hello.exit_code().await, Some(0), "{}", hello.log());
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_and_the_tasks_stop_properly() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &["--shutdown-grace-ms=4000"]).await;
    let mut stuck = Client::connect(hello.public).await;
    stuck.send("GET /held HTTP/1.1\r\nhost: test\r\n\r\n").await;
    until_counted(&hello, 1).await;

    hello.process.signal(Signal::SIGINT);

    hello.assert_cut_but_stopped().await;
    assert!(stuck.is_closed().await);
}

#[tokio::test]
async fn a_silent_client_does_not_keep_the_tasks_from_stopping_properly() {
    let postgres = postgres().await;
    let full = ["--shutdown-grace-ms=4000", "--max-connections=1"];
    let hello = Hello::start_ready(&postgres.admin_url(), &full).await;
    hello.until_open(0).await;
    let mut silent = Client::connect(hello.public).await;
    silent.send("GET /greet").await;
    hello.until_open(1).await;

    hello.process.signal(Signal::SIGTERM);

    hello.assert_cut_but_stopped().await;
}

#[tokio::test]
async fn work_that_does_not_finish_in_time_is_named_and_the_tasks_are_told_to_stop() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &["--shutdown-grace-ms=2000"]).await;
    ask(hello.internal, "POST /linger", &[]).await;

    hello.process.signal(Signal::SIGTERM);

    assert_eq!(hello.exit_code().await, Some(1));
    let log = hello.log();
    assert!(log.contains("ender was told to stop"), "{log}");
    assert!(log.contains("not finished: 1 detached task(s)"), "{log}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &["--drain-ms=600000"]).await;

    hello.process.signal(Signal::SIGTERM);
    hello.until_status("/readyz", 503).await;
    hello.process.signal(Signal::SIGTERM);

    assert_eq!(hello.exit_code().await, Some(1));
    assert!(hello.log().contains("stopped at once by a second SIGTERM"), "{}", hello.log());
}
