//! The life of a whole process: the example service `hello`, on a real Postgres.

// Clippy does not see that helpers are tests, too.
#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use local_stack::process::Signal;
use sqlx::{Connection, PgConnection};
use support::hello::{Hello, ask_owned, postgres, program, until_counted};
use support::{Client, ask, head, until};
use tokio::net::TcpStream;
use tokio::time::timeout;

fn run(arguments: &[&str]) -> std::process::Output {
    Command::new(program()).env_clear().args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_wrong_setting_stops_it_with_one_line() {
    let missing = run(&[]);
    assert_eq!(missing.status.code(), Some(2));
    let line = String::from_utf8(missing.stderr).unwrap();
    assert!(
        line.starts_with("hello: ") && line.contains("DATABASE_URL") && line.lines().count() == 1,
        "{line}"
    );

    let public = run(&["--database-url=postgres://u:secret@localhost/db", "--listen=0.0.0.0:1"]);
    assert_eq!(public.status.code(), Some(2));
    let line = String::from_utf8(public.stderr).unwrap();
    assert!(line.contains("--auth none") && line.lines().count() == 1, "{line}");
}

#[test]
fn it_tells_its_version_and_its_settings() {
    assert!(String::from_utf8(run(&["--version"]).stdout).unwrap().starts_with("hello 0."));
    let help = run(&["--help"]);
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("[env: LISTEN=]"));
}

#[tokio::test]
async fn it_serves_once_it_has_migrated_and_ends_when_told() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &[]).await;

    let greetings = hello.get("/greetings").await;
    assert_eq!((greetings.status, greetings.json()["count"].as_i64()), (200, Some(0)));
    ask(hello.public, "BREW /nowhere", &[]).await;
    let metrics = ask(hello.internal, "GET /metrics", &[]).await.body;
    for part in [
        r#"build_info{service="hello","#,
        r#"http_requests_total{method="GET",route="/greetings",status="200"} 1"#,
        r#"http_requests_total{method="other",route="unmatched",status="404"} 1"#,
        r#"http_request_duration_seconds_bucket{method="GET",route="/greetings","#,
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(part), "{part} is not in {metrics}");
    }
    assert_eq!(hello.get("/metrics").await.status, 404);
    assert_eq!(hello.get("/actuator/health").await.json()["status"], "UP");

    hello.process.signal(Signal::SIGTERM);
    assert_eq!(hello.exit_code().await, Some(0), "{}", hello.log());
}

#[tokio::test]
async fn it_carries_out_a_command_instead_of_serving() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &[]).await;
    let url = format!("--database-url={}", postgres.admin_url());
    let count = || async {
        let (url, listen) = (url.clone(), format!("--listen={}", hello.public));
        tokio::task::spawn_blocking(move || run(&[&url, &listen, "count"])).await.unwrap()
    };
    assert_eq!(count().await.status.code(), Some(0));

    let mut connection = PgConnection::connect(&postgres.admin_url()).await.unwrap();
    sqlx::raw_sql("INSERT INTO hello.greeting SELECT FROM generate_series(1, 3)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();

    assert_eq!(count().await.status.code(), Some(3));
    postgres.stop().await;
    let failed = count().await;
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8(failed.stderr).unwrap().contains("hello ends"));
}

#[tokio::test]
async fn its_own_program_tells_whether_it_is_ready() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &[]).await;
    let url = format!("--database-url={}", postgres.admin_url());
    let health = || async {
        // As in a container, where it listens on every address.
        let listen = format!("--internal-listen=0.0.0.0:{}", hello.internal.port());
        let url = url.clone();
        let checked =
            tokio::task::spawn_blocking(move || run(&[&url, &listen, "healthcheck"])).await.unwrap();
        (checked.status.code(), String::from_utf8(checked.stderr).unwrap())
    };
    assert_eq!(health().await, (Some(0), String::new()));

    postgres.stop().await;
    hello.until_status("/readyz", 503).await;
    let (code, line) = health().await;
    assert_eq!(code, Some(1));
    assert!(line.contains("/readyz: HTTP/1.1 503") && line.lines().count() == 1, "{line}");

    hello.process.signal(Signal::SIGKILL);
    hello.exit_code().await;
    let (code, line) = health().await;
    assert_eq!(code, Some(1));
    assert!(line.contains("refused") && line.lines().count() == 1, "{line}");
}

#[tokio::test]
async fn it_is_alive_while_postgres_is_down_and_starts_when_it_is_there() {
    let postgres = postgres().await;
    postgres.stop().await;
    let hello = Hello::start(&postgres.admin_url(), &[]);

    hello.until_status("/livez", 200).await;
    let readyz = hello.get("/readyz").await;
    assert_eq!((readyz.status, readyz.json()["reason"].as_str()), (503, Some("starting")));
    let greetings = hello.get("/greetings").await;
    assert_eq!((greetings.status, greetings.problem().as_str()), (503, "try-again-later"));
    assert_eq!(greetings.header("retry-after"), Some("1"));

    postgres.restart().await.unwrap();
    hello.until_status("/greetings", 200).await;

    postgres.kill().await;
    hello.until_status("/readyz", 503).await;
    assert_eq!(hello.get("/greetings").await.problem(), "try-again-later");
    assert_eq!(hello.get("/livez").await.status, 200);

    postgres.restart().await.unwrap();
    hello.until_status("/readyz", 200).await;
    hello.until_status("/greetings", 200).await;
}

#[tokio::test]
async fn it_does_not_start_behind_its_migrations_when_it_may_not_migrate() {
    let postgres = postgres().await;

    let behind = Hello::start(&postgres.admin_url(), &["--no-migrate"]);
    assert_eq!(behind.exit_code().await, Some(1));
    assert!(behind.log().contains("the database is behind: migration 1"), "{}", behind.log());

    let migrated = Hello::start_ready(&postgres.admin_url(), &[]).await;
    let beside = Hello::start_ready(&postgres.admin_url(), &["--no-migrate"]).await;
    assert_eq!(beside.get("/greetings").await.status, 200);
    drop(migrated);
}

#[tokio::test]
async fn it_ends_when_a_background_task_cannot_go_on() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &[]).await;

    ask(hello.internal, "POST /end", &[]).await;

    assert_eq!(hello.exit_code().await, Some(1));
    assert!(hello.log().contains("background task ender cannot go on: told to end"), "{}", hello.log());
}

#[tokio::test]
async fn it_ends_when_its_port_is_taken() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &[]).await;
    let taken = format!("--listen={}", hello.public);

    let second = Hello::start(&postgres.admin_url(), &[taken.as_str()]);

    assert_eq!(second.exit_code().await, Some(1));
    assert!(second.log().contains(&format!("cannot listen on {}", hello.public)), "{}", second.log());
}

#[tokio::test]
async fn further_connections_wait_and_the_internal_listener_answers() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &["--max-connections=2"]).await;
    hello.until_open(0).await;
    let first = Client::connect(hello.public).await;
    let _second = Client::connect(hello.public).await;
    hello.until_open(2).await;

    let mut third = tokio::spawn(ask_owned(hello.public, "GET /livez"));

    assert!(timeout(Duration::from_millis(300), &mut third).await.is_err());
    assert_eq!(ask(hello.internal, "GET /readyz", &[]).await.status, 200);
    drop(first);
    assert_eq!(third.await.unwrap().status, 200);
}

#[tokio::test]
async fn who_is_answered_while_another_connection_waits_gives_its_place_up() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &["--max-connections=2"]).await;
    hello.until_open(0).await;
    let mut first = Client::connect(hello.public).await;
    let _idle = Client::connect(hello.public).await;
    hello.until_open(2).await;
    let keep = "GET /livez HTTP/1.1\r\nhost: test\r\n\r\n";
    let close = "GET /livez HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    first.send(format!("{keep}{close}")).await;
    assert_eq!(
        first.answer().await.body.matches("HTTP/1.1 200").count(),
        1,
        "nobody waits, so there are two answers"
    );

    let first = TcpStream::connect(hello.public).await.unwrap();
    hello.until_open(2).await;
    let third = tokio::spawn(ask_owned(hello.public, "GET /livez"));
    until("the place is given up", async || {
        first.try_write(keep.as_bytes()).ok();
        third.is_finished()
    })
    .await;
    assert_eq!(third.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_request_whose_client_hangs_up_is_counted() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &[]).await;
    let mut client = Client::connect(hello.public).await;
    client.send("GET /held HTTP/1.1\r\nhost: test\r\n\r\n").await;
    until_counted(&hello, 1).await;

    drop(client);

    let counted = r#"http_requests_total{method="GET",route="/held",status="aborted"} 1"#;
    hello.until_metric(counted).await;
    assert!(hello.log().contains("request aborted"), "{}", hello.log());
}

#[tokio::test]
async fn a_head_that_does_not_arrive_closes_the_connection() {
    let postgres = postgres().await;
    let hello = Hello::start_ready(&postgres.admin_url(), &["--header-timeout-ms=100"]).await;
    let mut client = Client::connect(hello.public).await;

    client.send(&head("GET /greetings", "text/plain", 0)[..20]).await;

    assert!(client.is_closed().await);
    assert_eq!(hello.get("/greetings").await.status, 200);
}
