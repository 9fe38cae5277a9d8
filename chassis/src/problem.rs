//! The one error type of the HTTP surface: RFC 9457 `application/problem+json`.

mod database;
mod framework;

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Language;
use crate::error::chain;

/// The content type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// How long a client is asked to wait when nothing better is known.
pub const RETRY_SHORTLY: Duration = Duration::from_secs(1);

/// What a client is told when a request fails (RFC 9457). The body has `type`, `title`, `status`, `detail`,
/// `instance`, a stable `code`, `errors` for bad fields, and extra members. It never carries the cause of a 5xx.
#[derive(Debug, Clone, Deserialize)]
pub struct Problem(Box<Content>);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Content {
    #[serde(with = "http_serde::status_code")]
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    #[serde(skip)]
    retry_after: Option<Duration>,
    #[serde(skip)]
    language: Option<Language>,
}

/// What is wrong with one field of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) to the field, e.g. `/nickname`; empty for the whole body.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl FieldError {
    /// An error of the field at this JSON Pointer.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

impl Problem {
    /// Any status with a stable code of its own. Prefer the constructors below.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self(Box::new(Content {
            status,
            code: code.into(),
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            retry_after: None,
            language: None,
        }))
    }

    /// 400 `malformed-request`: the request cannot be parsed.
    pub fn malformed_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed-request", detail)
    }

    /// 422 `invalid-request`: the request was parsed, but fields are wrong.
    pub fn invalid_request(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [error] if error.pointer.is_empty() => error.detail.clone(),
            [error] => format!("{}: {}", error.pointer, error.detail),
            _ => "Several fields are wrong.".to_owned(),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-request", detail).with_errors(errors)
    }

    /// 404 with a code such as `member-not-found`.
    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 409 with a code such as `phone-taken`.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422 with a code such as `insufficient-points`: the request is well formed, but cannot be carried out.
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 503 `try-again-later` with `Retry-After`: something the request needs is overloaded or down.
    pub fn try_again_later(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "try-again-later", detail).with_retry_after(retry_after)
    }

    /// 500 `internal-error`. Logs the error with all its causes; the client is told nothing of them.
    /// For an [`anyhow::Error`] pass `error.as_ref()`.
    pub fn internal(error: &dyn Error) -> Self {
        tracing::error!(error = chain(error), "request failed");
        Self::from_status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Adds a member to the body, beside the standard ones.
    pub fn with_member(mut self, name: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.0.members.insert(name.to_owned(), value);
            }
            Err(error) => tracing::error!(name, error = chain(&error), "a problem's member is not JSON"),
        }
        self
    }

    /// Sets `Retry-After`, in whole seconds, rounded up.
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.0.retry_after = Some(retry_after);
        self
    }

    /// Says which language the detail is in, and that it was chosen by `Accept-Language`.
    pub fn in_language(mut self, language: Language) -> Self {
        self.0.language = Some(language);
        self
    }

    /// Sets `errors`.
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// The problem as text, to be given again by [`replay`](crate::idempotency::replay). `None` where the client is to try
    /// again: it may be answered otherwise then.
    pub fn record(&self) -> Option<String> {
        let is_passing = self.0.status.is_server_error() || self.0.retry_after.is_some();
        if is_passing { None } else { serde_json::to_string(&self.0).ok() }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The bad fields.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The body, for a request to this path.
    pub(crate) fn to_value(&self, instance: &str) -> Value {
        serde_json::from_slice(&self.body(Some(instance))).unwrap_or_default()
    }

    /// Whether the detail is in a language that the client chose.
    pub(crate) fn has_language(&self) -> bool {
        self.0.language.is_some()
    }

    /// `Retry-After`, in whole seconds.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.0.retry_after.map(whole_seconds)
    }

    /// Turns a response into this problem. The response keeps its other headers, such as `Allow`.
    pub(crate) fn replace(&self, response: Response, instance: Option<&str>) -> Response {
        let (mut parts, _) = response.into_parts();
        parts.status = self.0.status;
        parts.headers.remove(CONTENT_LENGTH);
        self.write_headers(&mut parts.headers);
        Response::from_parts(parts, Body::from(self.body(instance)))
    }

    fn write_headers(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(retry_after) = self.0.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(retry_after)));
        }
        if let Some(language) = self.0.language {
            headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
            headers.insert(VARY, HeaderValue::from_static("accept-language"));
        }
    }

    fn body(&self, instance: Option<&str>) -> Vec<u8> {
        let content = &*self.0;
        let body = Body9457 {
            problem_type: format!("urn:problem-type:mileage:{}", content.code),
            title: title(&content.code),
            status: content.status.as_u16(),
            detail: &content.detail,
            instance,
            code: &content.code,
            errors: &content.errors,
            members: &content.members,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Body9457<'a> {
    #[serde(rename = "type")]
    problem_type: String,
    title: String,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    code: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

/// `member-not-found` → `Member not found`: the same for every problem of a type, as the RFC asks.
fn title(code: &str) -> String {
    let mut title = code.replace('-', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// The response also carries the problem itself, so that the outermost layer can add `instance`.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.replace(Response::default(), None);
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(problem: &Problem) -> Value {
        serde_json::from_slice(&problem.body(Some("/points/1"))).unwrap()
    }

    #[test]
    fn the_body_is_that_of_the_rfc_with_code_and_members() {
        let problem = Problem::conflict("member-not-normal", "The member is ABNORMAL.")
            .with_member("remainPoint", 0)
            .with_member("requirePoint", Option::<i64>::None);

        assert_eq!(
            body(&problem),
            json!({
                "type": "urn:problem-type:mileage:member-not-normal",
                "title": "Member not normal",
                "status": 409,
                "detail": "The member is ABNORMAL.",
                "instance": "/points/1",
                "code": "member-not-normal",
                "remainPoint": 0,
                "requirePoint": null,
            })
        );
    }

    #[test]
    fn bad_fields_are_listed() {
        let problem = Problem::invalid_request(vec![FieldError::new("/nickname", "must not be empty")]);

        assert_eq!(
            body(&problem)["errors"],
            json!([{"pointer": "/nickname", "detail": "must not be empty"}])
        );
        assert_eq!(body(&problem)["detail"], "/nickname: must not be empty");
        assert_eq!(problem.status(), 422);
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let response = Problem::try_again_later("Busy.", Duration::from_millis(1_200)).into_response();

        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
    }

    #[test]
    fn an_internal_error_tells_nothing_of_its_cause() {
        let error = std::io::Error::other("password leaked");

        assert!(!body(&Problem::internal(&error)).to_string().contains("password"));
    }
}
