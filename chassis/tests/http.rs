//! The HTTP layers and extractors, over real connections.

// Clippy does not see that helpers are tests, too.
#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use chassis::extract::{Json, Path, Query};
use chassis::hal::{BaseUrl, ListQuery, Resource};
use chassis::http::{Limits, test_router_with};
use chassis::wire::Integer;
use chassis::{Problem, RequestContext};
use serde::Deserialize;
use serde_json::{Value, json};
use support::{Client, ask, head, send, send_json};
use tokio::net::TcpListener;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Join {
    nickname: String,
    member_id: Option<Integer>,
}

#[derive(Deserialize)]
struct Search {
    member: Option<Integer>,
}

/// A service, and how often its write has been reached.
struct TestService {
    address: SocketAddr,
    writes: Arc<AtomicUsize>,
}

impl TestService {
    async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    async fn start_with(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let writes = Arc::new(AtomicUsize::new(0));
        let router = test_router_with(routes(Arc::clone(&writes)), limits);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, writes }
    }

    fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }
}

fn routes(writes: Arc<AtomicUsize>) -> Router {
    let join = async move |base: BaseUrl, Json(body): Json<Join>| {
        writes.fetch_add(1, Ordering::SeqCst);
        let id = body.member_id.map_or(7, i64::from);
        let href = base.href(format_args!("/members/{id}"));
        Resource::new("member", href, json!({"memberId": id, "nickname": body.nickname})).created()
    };
    Router::new()
        .route(
            "/members",
            post(join).get(async |_: ListQuery, Query(search): Query<Search>| {
                search.member.map_or(0, i64::from).to_string()
            }),
        )
        .route("/members/{id}", get(async |Path(id): Path<i64>| id.to_string()))
        .route(
            "/context",
            get(async |context: RequestContext| {
                let trace = context.trace_parent.to_string();
                axum::Json(json!({
                    "actor": context.principal.actor(), "trace": trace, "requestId": context.request_id
                }))
            }),
        )
        .route("/panic", get(async || -> String { panic!("a bug with secrets") }))
        .route("/broken", get(async || Problem::internal(&std::io::Error::other("secret cause"))))
        .route("/forever", get(std::future::pending::<()>))
}

#[tokio::test]
async fn a_resource_is_created_with_links_to_the_host_that_was_asked() {
    let service = TestService::start().await;

    let answer = send_json(service.address, "POST /members", r#"{"nickname":"SEQ1","memberId":"1"}"#).await;

    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), Some("http://test:80/members/1"));
    assert_eq!(answer.header("content-type"), Some("application/hal+json"));
    assert_eq!(answer.json()["memberId"], 1);
    assert_eq!(answer.json()["_links"]["self"]["href"], "http://test:80/members/1");
}

#[tokio::test]
async fn a_host_that_is_none_makes_no_links() {
    let service = TestService::start().await;
    let body = r#"{"nickname":"a"}"#;
    let mut client = Client::connect(service.address).await;

    let length = body.len();
    client
        .send(format!(
            "POST /members HTTP/1.1\r\nhost: u@evil/<x>\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;

    assert_eq!(client.answer().await.header("location"), Some("/members/7"));
}

#[tokio::test]
async fn every_rejection_is_a_problem() {
    let service = TestService::start().await;
    for (line, status, code) in [
        ("GET /nowhere", 404, "not-found"),
        ("GET /members/abc", 400, "malformed-request"),
        ("GET /members/99999999999999999999", 400, "malformed-request"),
        ("GET /members?limit=0", 422, "invalid-request"),
        ("GET /members?member=x", 422, "invalid-request"),
        ("DELETE /members", 405, "method-not-allowed"),
        ("BREW /members", 405, "method-not-allowed"),
        ("POST /members", 415, "unsupported-media-type"),
        ("GET /panic", 500, "internal-error"),
        ("GET /broken", 500, "internal-error"),
    ] {
        let answer = ask(service.address, line, &[]).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{line}");
        assert!(!answer.body.contains("secret"), "{line}");
        let path = line.split([' ', '?']).nth(1).unwrap();
        assert_eq!(answer.json()["instance"], path);
    }
    assert_eq!(ask(service.address, "DELETE /members", &[]).await.header("allow"), Some("POST,GET,HEAD"));
    assert_eq!(service.writes(), 0);
}

#[tokio::test]
async fn a_bad_body_is_refused_and_its_field_named() {
    let service = TestService::start().await;
    for (body, status, pointer) in [
        ("", 400, None),
        ("{", 400, None),
        (r#"{"nickname":"a"}{}"#, 400, None),
        ("{}", 422, Some("/nickname")),
        (r#"{"nickname":"a","memberId":1.5}"#, 422, Some("/memberId")),
        (r#"{"nickname":"a","nickname":"b"}"#, 422, Some("/nickname")),
        (r#"{"nickname":"a","remainPoint":1}"#, 422, Some("/remainPoint")),
        (r#"["a",1]"#, 422, Some("")),
    ] {
        let answer = send_json(service.address, "POST /members", body).await;
        answer.problem();
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.json()["errors"][0]["pointer"].as_str(), pointer, "{body}");
    }
    let answer = send(service.address, "POST /members", "text/plain", r#"{"nickname":"a"}"#).await;
    assert_eq!((answer.status, answer.problem().as_str()), (415, "unsupported-media-type"));
    assert_eq!(service.writes(), 0);
}

#[tokio::test]
async fn who_sends_too_much_is_told_so_after_having_sent_all_of_it() {
    let service = TestService::start().await;
    let ten_megabytes = vec![b'x'; 10 * 1024 * 1024];

    let answer = send_json(service.address, "POST /members", &ten_megabytes).await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "payload-too-large"));

    for line in ["POST /nowhere", "DELETE /members"] {
        let answer = send_json(service.address, line, &ten_megabytes).await;
        answer.problem();
    }
    let answer = send(service.address, "POST /members", "text/plain", &ten_megabytes).await;
    assert_eq!(answer.status, 415);
}

#[tokio::test]
async fn a_chunked_body_has_the_same_limit() {
    let service = TestService::start().await;
    let mut client = Client::connect(service.address).await;
    client
        .send(
            "POST /members HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\n",
        )
        .await;
    let chunk = vec![b' '; 0x8000];
    for _ in 0..40 {
        client.send("8000\r\n").await;
        client.send(&chunk).await;
        client.send("\r\n").await;
    }
    client.send("0\r\n\r\n").await;

    assert_eq!(client.answer().await.problem(), "payload-too-large");
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_given_up() {
    let limits = Limits { body_timeout: Duration::from_millis(100), ..Limits::default() };
    let service = TestService::start_with(limits).await;
    let mut client = Client::connect(service.address).await;
    client.send(head("POST /members", "application/json", 100).replace("connection: close\r\n", "")).await;
    client.send(r#"{"nickname":"#).await;

    let answer = client.answer().await;

    assert_eq!((answer.status, answer.problem().as_str()), (408, "request-timeout"));
    assert_eq!(service.writes(), 0);
}

#[tokio::test]
async fn a_client_that_hangs_up_half_way_changes_nothing() {
    let service = TestService::start().await;
    let mut client = Client::connect(service.address).await;
    client.send(head("POST /members", "application/json", 100)).await;
    client.send(r#"{"nickname":"SEQ1"}"#).await;
    drop(client);

    assert_eq!(send_json(service.address, "POST /members", r#"{"nickname":"a"}"#).await.status, 201);
    assert_eq!(service.writes(), 1);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered() {
    let limits = Limits { request_timeout: Duration::from_millis(50), ..Limits::default() };
    let service = TestService::start_with(limits).await;

    let answer = ask(service.address, "GET /forever", &[]).await;

    assert_eq!((answer.status, answer.problem().as_str()), (503, "try-again-later"));
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_request_has_an_id_and_a_place_in_its_trace() {
    let service = TestService::start().await;
    let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    let given = ask(service.address, "GET /context", &["x-request-id: abc", trace]).await;
    let own =
        ask(service.address, "GET /context", &["x-request-id: not sane", "traceparent: nonsense"]).await;

    assert_eq!(given.header("x-request-id"), Some("abc"));
    assert_eq!(given.json()["requestId"], "abc");
    assert_eq!(given.json()["actor"], "operator");
    let position = given.json()["trace"].as_str().unwrap().to_owned();
    assert!(
        position.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-")
            && !position.contains("00f067aa0ba902b7")
    );
    assert_eq!(own.header("x-request-id").map(str::len), Some(36));
    assert_eq!(own.json()["requestId"].as_str(), own.header("x-request-id"));
    assert_ne!(own.json()["trace"], Value::Null);
}

#[tokio::test]
async fn a_refused_request_leaves_its_connection_usable() {
    let service = TestService::start().await;
    let mut client = Client::connect(service.address).await;
    let refused = head("POST /nowhere", "application/json", 100_000).replace("connection: close\r\n", "");
    client.send(refused).await;
    client.send(vec![b'x'; 100_000]).await;
    client.send("GET /members/5 HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;

    let answer = client.answer().await;

    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("HTTP/1.1 200 OK") && answer.body.ends_with("\r\n\r\n5"), "{answer:?}");
}

#[tokio::test]
async fn who_asks_before_sending_is_told_not_to() {
    let service = TestService::start().await;
    let mut client = Client::connect(service.address).await;
    let head = head("POST /members", "application/json", 1_000_000);
    client.send(head.replace("connection: close", "expect: 100-continue")).await;

    let answer = client.answer().await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "payload-too-large"));
    assert_eq!(service.writes(), 0);
}
