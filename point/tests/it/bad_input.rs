//! Whatever is wrong with a request: a clear problem, and nothing changed.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::Body;
use chassis::group_read::GroupRead;
use chassis::http::Limits;
use chassis::testing::{Answer, ask};
use futures::StreamExt;
use futures::stream;
use point::store::lots;
use point::usecase::forfeit_points::Forfeiter;
use point::usecase::transact::Transactor;
use shared_events::delivery::Wake;

use crate::support::{Membership, Service, TERMS, now, patch, request};

const MEMBER: i64 = 1;

/// Asks, and asserts that it changed nothing.
async fn refused(service: &Service, request: axum::http::Request<Body>) -> Answer {
    let before = service.snapshot().await;
    let answer = service.send(request).await;
    assert_eq!(service.snapshot().await, before, "{answer:?}");
    answer
}

#[tokio::test]
async fn a_body_that_does_not_fit_names_the_field() {
    let service = Service::with_normal_member(Membership::of(MEMBER)).await;
    for (body, pointer) in [
        ("{}", "/requirePoint"),
        (r#"{"requirePoint":null}"#, "/requirePoint"),
        (r#"{"requirePoint":0}"#, "/requirePoint"),
        (r#"{"requirePoint":"0"}"#, "/requirePoint"),
        (r#"{"requirePoint":-0}"#, "/requirePoint"),
        (r#"{"requirePoint":"abc"}"#, "/requirePoint"),
        (r#"{"requirePoint":""}"#, "/requirePoint"),
        (r#"{"requirePoint":" 1"}"#, "/requirePoint"),
        (r#"{"requirePoint":"1\u0000"}"#, "/requirePoint"),
        (r#"{"requirePoint":1.5}"#, "/requirePoint"),
        (r#"{"requirePoint":1.0}"#, "/requirePoint"),
        (r#"{"requirePoint":1e3}"#, "/requirePoint"),
        (r#"{"requirePoint":"1.5"}"#, "/requirePoint"),
        (r#"{"requirePoint":true}"#, "/requirePoint"),
        (r#"{"requirePoint":[1]}"#, "/requirePoint"),
        (r#"{"requirePoint":{"a":1}}"#, "/requirePoint"),
        (r#"{"requirePoint":9007199254740992}"#, "/requirePoint"),
        (r#"{"requirePoint":-9007199254740992}"#, "/requirePoint"),
        (r#"{"requirePoint":9007199254740991}"#, "/requirePoint"),
        (r#"{"requirePoint":9223372036854775807}"#, "/requirePoint"),
        (r#"{"requirePoint":"9223372036854775807"}"#, "/requirePoint"),
        (r#"{"requirePoint":-9223372036854775808}"#, "/requirePoint"),
        (r#"{"requirePoint":9223372036854775808}"#, "/requirePoint"),
        (r#"{"requirePoint":99999999999999999999999999}"#, "/requirePoint"),
        (r#"{"requirePoint":1e999}"#, "/requirePoint"),
        (r#"{"requirePoint":1,"requirePoint":1}"#, "/requirePoint"),
        (r#"{"requirePoint":1,"remainPoint":999999}"#, "/remainPoint"),
        (r#"{"remainPoint":999999,"requirePoint":1}"#, "/remainPoint"),
        (r#"{"requirePoint":1,"":1}"#, "/"),
        (r#"{"RequirePoint":1}"#, "/RequirePoint"),
        (r#"{"require_point":1}"#, "/require_point"),
        ("[1]", ""),
        ("null", ""),
        ("1", ""),
        (r#""requirePoint""#, ""),
    ] {
        let answer = refused(&service, patch(MEMBER, body)).await;
        assert_eq!(answer.problem(), (422, "invalid-request"), "{body}");
        assert_eq!(answer.pointer(), Some(pointer), "{body}");
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
async fn a_body_that_is_not_json_is_malformed() {
    let service = Service::with_normal_member(Membership::of(MEMBER)).await;
    for body in [
        "",
        "  ",
        "requirePoint=1",
        "{",
        r#"{"requirePoint":1"#,
        r#"{"requirePoint":1}}"#,
        r#"{"requirePoint":1} x"#,
        r#"{"requirePoint":01}"#,
        r#"{"requirePoint":+1}"#,
        r#"{"requirePoint":NaN}"#,
        "{'requirePoint':1}",
        "\u{feff}{\"requirePoint\":1}",
    ] {
        let answer = refused(&service, patch(MEMBER, body)).await;
        assert_eq!(answer.problem(), (400, "malformed-request"), "{body:?}");
    }
    let answer = refused(&service, patch(MEMBER, &b"{\"requirePoint\":\"\xff\"}"[..])).await;
    assert_eq!(answer.problem(), (400, "malformed-request"));
}

#[tokio::test]
async fn a_body_of_another_media_type_is_unsupported() {
    let service = Service::with_normal_member(Membership::of(MEMBER)).await;
    for content_type in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("text/json")]
    {
        let request = request("PATCH", "/points/1", content_type).body(Body::from(r#"{"requirePoint":1}"#));
        let answer = refused(&service, request.expect("a request")).await;
        assert_eq!(answer.problem(), (415, "unsupported-media-type"), "{content_type:?}");
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_malformed() {
    let service = Service::with_normal_member(Membership::of(MEMBER)).await;
    for id in
        ["abc", "1.0", "1.5", "0", "-1", "9007199254740992", "99999999999999999999", "1%00", "%31x", "%20"]
    {
        for method in ["GET", "PATCH"] {
            let request = request(method, &format!("/points/{id}"), Some("application/json"));
            let answer =
                refused(&service, request.body(Body::from(r#"{"requirePoint":1}"#)).expect("a request"))
                    .await;
            assert_eq!(answer.problem(), (400, "malformed-request"), "{method} {id}");
        }
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
    let service = Service::with_normal_member(Membership::of(MEMBER)).await;
    let mut body = br#"{"requirePoint":1"#.to_vec();
    body.resize(10 * 1024 * 1024, b' ');
    let chunks: Vec<_> = body.chunks(CHUNK).map(|chunk| Ok::<_, Infallible>(chunk.to_vec())).collect();

    for body in [Body::from(body), Body::from_stream(stream::iter(chunks))] {
        let answer = refused(&service, patch(MEMBER, body)).await;
        assert_eq!(answer.problem(), (413, "payload-too-large"));
    }
}

#[tokio::test]
async fn half_a_body_is_refused_whether_the_rest_is_late_or_lost() {
    let service = Service::with_normal_member(Membership::of(MEMBER)).await;
    let before = service.snapshot().await;
    let half = || stream::iter([Ok(br#"{"requirePoint":1"#.to_vec())]);

    let lost = half().chain(stream::iter([Err(io::Error::from(io::ErrorKind::ConnectionReset))]));
    let answer = service.patch(MEMBER, Body::from_stream(lost)).await;
    assert_eq!(answer.problem(), (400, "malformed-request"));

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
    let late = half().chain(stream::pending::<io::Result<Vec<u8>>>());
    let answer = ask(&router, patch(MEMBER, Body::from_stream(late))).await;
    assert_eq!(answer.problem(), (408, "request-timeout"));

    assert_eq!(service.snapshot().await, before);
}
