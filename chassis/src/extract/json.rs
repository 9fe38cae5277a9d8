//! JSON request bodies.

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use tokio::time::timeout;

use super::field::field_error;
use crate::http::{Limits, RequestState};
use crate::{FieldError, Problem};

/// A JSON object as request body.
///
/// Rejections: 400 when it is not JSON, 422 with the field's pointer when it is but does not fit, 408, 413 and 415.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

/// As [`Json`], with the bytes that it came in.
#[derive(Debug, Clone)]
pub(crate) struct JsonBytes<T> {
    pub(crate) value: T,
    pub(crate) bytes: Bytes,
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        JsonBytes::from_request(request, state).await.map(|JsonBytes { value, .. }| Self(value))
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBytes<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let limits = RequestState::of(&parts).map_err(Problem::into_response)?.server.limits;
        if !is_json(&parts.headers) {
            return Err(Problem::from_status(StatusCode::UNSUPPORTED_MEDIA_TYPE).into_response());
        }
        let bytes = read(body, limits).await?;
        let value = parse(&bytes).map_err(Problem::into_response)?;
        Ok(Self { value, bytes })
    }
}

/// `application/json` or `application/…+json`, with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The whole body, within its limits. When it is too large, the rest of it is discarded behind our back (see
/// `http::body`); when it is too slow, the connection is closed.
async fn read(body: Body, limits: Limits) -> Result<Bytes, Response> {
    let most = usize::try_from(limits.body_bytes).unwrap_or(usize::MAX);
    match timeout(limits.body_timeout, collect(body, most)).await {
        Ok(outcome) => outcome.map_err(Problem::into_response),
        Err(_) => {
            let close = [(CONNECTION, HeaderValue::from_static("close"))];
            Err((close, Problem::from_status(StatusCode::REQUEST_TIMEOUT)).into_response())
        }
    }
}

async fn collect(mut body: Body, most: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::from_status(StatusCode::PAYLOAD_TOO_LARGE);
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::malformed_request("The request body broke off."))?;
        let Ok(data) = frame.into_data() else { continue };
        if collected.len() + data.len() > most {
            return Err(too_large());
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("The request body is not UTF-8."))?;
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(malformed("The request body is empty."));
    }
    // A derived `Deserialize` takes an array for a struct, field by field.
    if !text.starts_with('{') {
        return Err(rejection(text, FieldError::new("", "The request body must be a JSON object.")));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        classify(text, &path, error.inner())
    })?;
    deserializer.end().map_err(|error| malformed(format!("The request body is not JSON: {error}.")))?;
    Ok(value)
}

fn classify(text: &str, path: &str, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    let is_number_out_of_range = message.starts_with("number out of range");
    if error.classify() == Category::Data || is_number_out_of_range {
        rejection(text, field_error(path, without_position(&message)))
    } else {
        malformed(format!("The request body is not JSON: {message}."))
    }
}

/// A wrong field counts only if the body as a whole is JSON; what cannot be parsed is malformed first of all.
fn rejection(text: &str, field: FieldError) -> Problem {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Problem::invalid_request(vec![field]),
        Err(error) => malformed(format!("The request body is not JSON: {error}.")),
    }
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::malformed_request(detail)
}

/// Without the ` at line 1 column 2` that says nothing to somebody who is told the field.
fn without_position(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |end| &message[..end])
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::wire::Integer;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Body {
        #[serde(rename = "nickname")]
        _nickname: String,
        #[serde(rename = "requirePoint")]
        _require_point: Option<Integer>,
    }

    fn outcome(json: impl AsRef<[u8]>) -> (String, String) {
        let problem = parse::<Body>(json.as_ref()).unwrap_err();
        let pointer = problem.errors().first().map(|error| error.pointer.clone()).unwrap_or_default();
        (problem.code().to_owned(), pointer)
    }

    #[test]
    fn what_cannot_be_parsed_is_malformed() {
        let too_deep = format!(r#"{{"nickname":{}"#, "[".repeat(10_000));
        for json in [
            "",
            "  ",
            "{",
            "not json",
            r#"{"nickname":"a"} x"#,
            r#"{"nickname":5,"#,
            r#"{"nickname":"\ud800"}"#,
            "[1,",
            &too_deep,
        ] {
            assert_eq!(outcome(json).0, "malformed-request", "{json:.40}");
        }
        assert_eq!(outcome(b"{\"nickname\":\"\xff\"}").0, "malformed-request");
    }

    #[test]
    fn what_does_not_fit_is_invalid_and_the_field_is_named() {
        for (json, pointer) in [
            ("{}", "/nickname"),
            (r#"{"nickname":5}"#, "/nickname"),
            (r#"{"nickname":null}"#, "/nickname"),
            (r#"{"nickname":"a","nickname":"b"}"#, "/nickname"),
            (r#"{"nickname":"a","remainPoint":1}"#, "/remainPoint"),
            (r#"{"nickname":"a","requirePoint":1.5}"#, "/requirePoint"),
            (r#"{"nickname":"a","requirePoint":"abc"}"#, "/requirePoint"),
            (r#"{"nickname":"a","requirePoint":9223372036854775808}"#, "/requirePoint"),
            (r#"{"nickname":"a","requirePoint":99999999999999999999999}"#, "/requirePoint"),
            (r#"["a",1]"#, ""),
            ("null", ""),
            ("5", ""),
        ] {
            assert_eq!(outcome(json), ("invalid-request".to_owned(), pointer.to_owned()), "{json}");
        }
    }

    #[test]
    fn media_types_with_json_in_them_are_json() {
        let is_json = |value: &str| is_json(&HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]));

        assert!(is_json("application/json"));
        assert!(is_json("Application/JSON; charset=utf-8"));
        assert!(is_json("application/merge-patch+json"));
        assert!(!is_json("text/plain"));
        assert!(!is_json("text/json"));
        assert!(!super::is_json(&HeaderMap::new()));
    }
}
