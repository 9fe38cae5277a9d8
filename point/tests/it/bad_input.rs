//! Whatever is wrong with a request: a clear problem, and nothing changed.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use chassis::group_read::GroupRead;
use chassis::http::Limits;
use chassis::testing::{Answer, ask};
use futures::StreamExt;
use futures::stream;
use point::store::lots;
use point::usecase::forfeit_points::Forfeiter;
use point::usecase::transact::Transactor;
use serde_json::json;
use shared_events::delivery::Wake;

use crate::support::{Membership, Service, TERMS, now, patch, request};

const MEMBER: i64 = 1;

/// Asks, and asserts that it changed nothing.
async fn refused(service: &Service, request: Request<Body>) -> Answer {
    let before = service.snapshot().await;
    let answer = service.send(request).await;
    assert_eq!(service.snapshot().await, before, "{answer:?}");
    answer
}

/// Sends a body that does not fit, and asserts that the problem names this field.
async fn refused_for(service: &Service, command: &Command, body: &str, pointer: &str) {
    let answer = refused(service, command.request(body.to_owned())).await;
    let sent = format!("{} {} {body}", command.method, command.path);
    assert_eq!(answer.problem(), (422, "invalid-request"), "{sent}");
    assert_eq!(answer.pointer(), Some(pointer), "{sent}");
}

/// A command, whose body is valid with a number of points from 1 to 100.
struct Command {
    method: &'static str,
    path: String,
    /// The fields before the points.
    others: &'static str,
    /// The name of the points.
    points: &'static str,
}

impl Command {
    fn body(&self, points: &str) -> String {
        format!(r#"{{{}"{}":{points}}}"#, self.others, self.points)
    }

    fn request(&self, body: impl Into<Body>) -> Request<Body> {
        self.request_of(Some("application/json"), body)
    }

    fn request_of(&self, content_type: Option<&str>, body: impl Into<Body>) -> Request<Body> {
        request(self.method, &self.path, content_type).body(body.into()).expect("a request")
    }

    fn is_cancellation(&self) -> bool {
        self.path.ends_with("/cancellation")
    }
}

/// A service with the account of a NORMAL member, and all commands that clients may give for it.
async fn service_and_commands() -> (Service, [Command; 4]) {
    let service = Service::with_normal_member(Membership::of(MEMBER)).await;
    let used = service.transact(MEMBER, &json!({ "type": "USE", "amount": 100, "reference": "R-1" })).await;
    let command = |method, path: &str, others, points| Command {
        method,
        path: format!("/points/{MEMBER}{path}"),
        others,
        points,
    };
    let commands = [
        command("PATCH", "", "", "requirePoint"),
        command("POST", "/transactions", r#""type":"EARN","reference":"R-2","#, "amount"),
        command("POST", &format!("/transactions/{used}/cancellation"), r#""reason":"x","#, "amount"),
        command("POST", "/adjustments", r#""reason":"x","#, "amount"),
    ];
    (service, commands)
}

#[tokio::test]
async fn each_command_is_carried_out_when_nothing_is_wrong_with_it() {
    let (service, commands) = service_and_commands().await;
    for command in commands {
        let answer = service.send(command.request(command.body("1"))).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
}

#[tokio::test]
async fn points_that_are_none_name_the_field() {
    let (service, commands) = service_and_commands().await;
    for command in commands {
        for points in [
            "0",
            r#""0""#,
            "-0",
            r#""abc""#,
            r#""""#,
            r#"" 1""#,
            r#""1\u0000""#,
            "1.5",
            "1.0",
            "1e3",
            r#""1.5""#,
            "true",
            "[1]",
            r#"{"a":1}"#,
            "9007199254740992",
            "-9007199254740992",
            "9007199254740991",
            "9223372036854775807",
            r#""9223372036854775807""#,
            "-9223372036854775808",
            "9223372036854775808",
            "99999999999999999999999999",
            "1e999",
        ] {
            refused_for(&service, &command, &command.body(points), &format!("/{}", command.points)).await;
        }
        let twice = format!(r#"1,"{}":1"#, command.points);
        refused_for(&service, &command, &command.body(&twice), &format!("/{}", command.points)).await;
        // A cancellation without points, or with `null`, is one of all that is left.
        if !command.is_cancellation() {
            let without = format!("{{{}}}", command.others.trim_end_matches(','));
            for body in [command.body("null"), without] {
                refused_for(&service, &command, &body, &format!("/{}", command.points)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_shop_neither_earns_nor_cancels_less_than_nothing() {
    let (service, [_, transaction, cancellation, _]) = service_and_commands().await;
    for command in [transaction, cancellation] {
        for points in ["-1", r#""-1""#, "-9007199254740991"] {
            refused_for(&service, &command, &command.body(points), "/amount").await;
        }
    }
}

#[tokio::test]
async fn fields_that_there_are_not_and_bodies_that_are_no_object_are_named() {
    let (service, commands) = service_and_commands().await;
    for command in commands {
        let with = |field: &str| command.body(&format!("1,{field}"));
        let others = command.others;
        for (body, pointer) in [
            (with(r#""remainPoint":999999"#), "/remainPoint"),
            (command.body("1").replacen('{', r#"{"remainPoint":999999,"#, 1), "/remainPoint"),
            (with(r#""":1"#), "/"),
            (format!(r#"{{{others}"RequirePoint":1}}"#), "/RequirePoint"),
            (format!(r#"{{{others}"require_point":1}}"#), "/require_point"),
            (format!(r#"{{{others}"Amount":1}}"#), "/Amount"),
            ("[1]".to_owned(), ""),
            ("null".to_owned(), ""),
            ("1".to_owned(), ""),
            (format!(r#""{}""#, command.points), ""),
        ] {
            refused_for(&service, &command, &body, pointer).await;
        }
    }
}

#[tokio::test]
async fn using_more_than_remains_names_no_field() {
    let service = Service::with_normal_member(Membership::of(MEMBER)).await;
    for body in [r#"{"requirePoint":-1001}"#, r#"{"requirePoint":-9007199254740991}"#] {
        let answer = refused(&service, patch(MEMBER, body)).await;
        assert_eq!(answer.problem(), (422, "insufficient-points"), "{body}");
        assert_eq!(answer.pointer(), None, "{body}");
    }
}

#[tokio::test]
async fn adjusting_by_more_than_remains_names_no_field() {
    let (service, [.., adjustment]) = service_and_commands().await;
    for points in ["-901", "-9007199254740991"] {
        let answer = refused(&service, adjustment.request(adjustment.body(points))).await;
        assert_eq!(answer.problem(), (422, "insufficient-points"), "{points}");
        assert_eq!(answer.pointer(), None, "{points}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_malformed() {
    let (service, commands) = service_and_commands().await;
    for command in commands {
        let valid = command.body("1");
        for body in [
            String::new(),
            "  ".to_owned(),
            format!("{}=1", command.points),
            "{".to_owned(),
            valid.trim_end_matches('}').to_owned(),
            format!("{valid}}}"),
            format!("{valid} x"),
            command.body("01"),
            command.body("+1"),
            command.body("NaN"),
            valid.replace('"', "'"),
            format!("\u{feff}{valid}"),
        ] {
            let answer = refused(&service, command.request(body.clone())).await;
            assert_eq!(answer.problem(), (400, "malformed-request"), "{} {body:?}", command.path);
        }
        let mut not_utf8 = command.body(r#""?""#).into_bytes();
        let last = not_utf8.iter().rposition(|byte| *byte == b'?').expect("a question mark");
        not_utf8[last] = 0xff;
        let answer = refused(&service, command.request(not_utf8)).await;
        assert_eq!(answer.problem(), (400, "malformed-request"), "{}", command.path);
    }
}

#[tokio::test]
async fn a_body_of_another_media_type_is_unsupported() {
    let (service, commands) = service_and_commands().await;
    for command in commands {
        for content_type in
            [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("text/json")]
        {
            let answer = refused(&service, command.request_of(content_type, command.body("1"))).await;
            let expected = (415, "unsupported-media-type");
            assert_eq!(answer.problem(), expected, "{} {content_type:?}", command.path);
        }
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_malformed() {
    let (service, commands) = service_and_commands().await;
    for id in
        ["abc", "1.0", "1.5", "0", "-1", "9007199254740992", "99999999999999999999", "1%00", "%31x", "%20"]
    {
        let path = format!("/points/{id}");
        let mut requests = vec![request("GET", &path, None).body(Body::empty()).expect("a request")];
        for command in &commands {
            let path = command.path.replacen("/points/1", &path, 1);
            let request = request(command.method, &path, Some("application/json"));
            requests.push(request.body(Body::from(command.body("1"))).expect("a request"));
        }
        for request in requests {
            let line = format!("{} {}", request.method(), request.uri());
            let answer = refused(&service, request).await;
            assert_eq!(answer.problem(), (400, "malformed-request"), "{line}");
        }
    }
    for id in ["abc", "1.5", "9223372036854775808", "1%00", "%20"] {
        let path = format!("/points/1/transactions/{id}/cancellation");
        let request = request("POST", &path, Some("application/json"));
        let request = request.body(Body::from(r#"{"reason":"x"}"#)).expect("a request");
        assert_eq!(refused(&service, request).await.problem(), (400, "malformed-request"), "{path}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let service = Service::with_normal_member(Membership::of(MEMBER)).await;
    for (method, path, status, code) in [
        ("GET", "/", 404, "not-found"),
        ("GET", "/points", 404, "not-found"),
        ("GET", "/points/", 404, "not-found"),
        ("GET", "/points/1/", 404, "not-found"),
        ("PATCH", "/points/1/balance", 404, "not-found"),
        ("PUT", "/forfeitures/1", 404, "not-found"),
        ("POST", "/points/1", 405, "method-not-allowed"),
        ("PUT", "/points/1", 405, "method-not-allowed"),
        ("DELETE", "/points/1", 405, "method-not-allowed"),
        ("BREW", "/points/1", 405, "method-not-allowed"),
    ] {
        let request = request(method, path, Some("application/json"));
        let answer =
            refused(&service, request.body(Body::from(r#"{"requirePoint":1}"#)).expect("a request")).await;
        assert_eq!(answer.problem(), (status, code), "{method} {path}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}");
    }
}

#[tokio::test]
async fn a_body_of_10_mb_is_too_large_whether_it_says_so_or_not() {
    const CHUNK: usize = 64 * 1024;
    let (service, commands) = service_and_commands().await;
    for command in commands {
        let mut body = command.body("1").into_bytes();
        body.resize(10 * 1024 * 1024, b' ');
        let chunks: Vec<_> = body.chunks(CHUNK).map(|chunk| Ok::<_, Infallible>(chunk.to_vec())).collect();

        for body in [Body::from(body), Body::from_stream(stream::iter(chunks))] {
            let answer = refused(&service, command.request(body)).await;
            assert_eq!(answer.problem(), (413, "payload-too-large"), "{}", command.path);
        }
    }
}

#[tokio::test]
async fn half_a_body_is_refused_whether_the_rest_is_late_or_lost() {
    let (service, commands) = service_and_commands().await;
    let before = service.snapshot().await;
    let impatient = Limits { body_timeout: Duration::from_millis(50), ..Limits::default() };
    let (pool, relay) = (service.pool.clone(), Wake::new());
    let transactor = Transactor::new(pool.clone(), relay.clone(), TERMS);
    let state = point::http::State {
        pool: pool.clone(),
        accounts: GroupRead::new(pool.clone(), lots::find_accounts),
        clock: now,
        transactor,
        forfeiter: Forfeiter::new(pool, relay),
        forfeit_delay: None,
    };
    let router = chassis::http::test_router_with(point::http::public(state), impatient);

    for command in commands {
        let half = command.body("1").trim_end_matches('}').as_bytes().to_vec();
        let half = || stream::iter([Ok(half.clone())]);

        let lost = half().chain(stream::iter([Err(io::Error::from(io::ErrorKind::ConnectionReset))]));
        let answer = service.send(command.request(Body::from_stream(lost))).await;
        assert_eq!(answer.problem(), (400, "malformed-request"), "{}", command.path);

        let late = half().chain(stream::pending::<io::Result<Vec<u8>>>());
        let answer = ask(&router, command.request(Body::from_stream(late))).await;
        assert_eq!(answer.problem(), (408, "request-timeout"), "{}", command.path);
    }
    assert_eq!(service.snapshot().await, before);
}
