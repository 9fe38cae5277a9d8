//! Requests and answers.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::net::TcpListener;
use tower::ServiceExt;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status and code; asserts that the answer is a complete problem.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16(), "{body}");
        for text in ["type", "title", "detail", "instance"] {
            assert!(body[text].is_string(), "{text} in {body}");
        }
        (self.status.as_u16(), body["code"].as_str().unwrap().to_owned())
    }

    /// The fields that a problem names.
    pub fn pointers(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array().into_iter().flatten();
        errors.map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }
}

/// Asks a router without a network in between.
pub async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

/// A request without a body; `line` is `GET /path`.
pub fn bare(line: &str) -> Request<Body> {
    request(line).body(Body::empty()).unwrap()
}

/// A request with a body.
pub fn with_body(line: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    request(line).header("content-type", content_type).body(body.into()).unwrap()
}

fn request(line: &str) -> axum::http::request::Builder {
    let (method, path) = line.split_once(' ').unwrap();
    Request::builder().method(method).uri(path).header("host", "test")
}

/// Serves a router on a port of its own.
pub async fn listen(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
