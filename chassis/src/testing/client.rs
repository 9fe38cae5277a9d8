//! Requests and answers.

use axum::Router;
use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt;

use super::DEADLINE;

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The JSON of the body; `null` with 204 and 304, which have none.
    pub body: Value,
}

impl Answer {
    /// A header, if it is there.
    ///
    /// # Panics
    /// When it is not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// A field of the body.
    ///
    /// # Panics
    /// When it is not there or no integer.
    pub fn number(&self, name: &str) -> i64 {
        self.body[name].as_i64().unwrap_or_else(|| panic!("no number {name} in {self:?}"))
    }

    /// Status and code; asserts that the answer is a complete problem.
    ///
    /// # Panics
    /// When it is not.
    pub fn problem(&self) -> (u16, &str) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let code = self.body["code"].as_str().unwrap_or_else(|| panic!("no code in {self:?}"));
        assert_eq!(self.body["type"], format!("urn:problem-type:mileage:{code}"), "{self:?}");
        assert_eq!(self.body["status"], self.status.as_u16(), "{self:?}");
        for text in ["title", "detail", "instance"] {
            assert!(self.body[text].is_string(), "{text} in {self:?}");
        }
        (self.status.as_u16(), code)
    }

    /// The fields that a problem names.
    ///
    /// # Panics
    /// When an error names none.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().into_iter().flatten();
        errors.map(|error| error["pointer"].as_str().unwrap()).collect()
    }

    /// The only field that a problem names, if it names one.
    ///
    /// # Panics
    /// When it names several, or an empty list.
    pub fn pointer(&self) -> Option<&str> {
        self.body.get("errors")?;
        match self.pointers().as_slice() {
            [pointer] => Some(pointer),
            pointers => panic!("{} errors in {self:?}", pointers.len()),
        }
    }
}

/// Asks a router without a network in between.
///
/// # Panics
/// When the answer is not there within [`DEADLINE`], or its body is not JSON: nothing at all with 204 and
/// 304, and only then.
pub async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let call = async {
        let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        (parts, body.collect().await.expect("the whole body").to_bytes())
    };
    let (parts, bytes) = timeout(DEADLINE, call).await.expect("an answer in time");
    let has_none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&parts.status);
    assert_eq!(bytes.is_empty(), has_none, "{parts:?} {bytes:?}");
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{error}: {parts:?} {bytes:?}"))
    };
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A request without a body; `line` is `GET /path`.
///
/// # Panics
/// When `line` is anything else.
pub fn bare(line: &str) -> Request<Body> {
    request(line).body(Body::empty()).unwrap()
}

/// A request with a body; `line` is `POST /path`.
///
/// # Panics
/// When `line` is anything else.
pub fn with_body(line: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    request(line).header("content-type", content_type).body(body.into()).unwrap()
}

fn request(line: &str) -> Builder {
    let (method, path) = line.split_once(' ').unwrap();
    Request::builder().method(method).uri(path).header("host", "test")
}
