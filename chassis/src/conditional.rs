//! Conditional requests (RFC 9110 §13): `ETag`, `If-Match` and `If-None-Match`.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest, Sha256};

use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::{Problem, openapi};

/// Names a state of a resource: a strong validator, made of all that its representation is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// Of what the representation is made of.
    pub fn of(state: &impl Serialize) -> Self {
        // What is no JSON has no representation either.
        let hash = Sha256::digest(serde_json::to_vec(state).unwrap_or_default());
        Self(format!("\"{}\"", hex::encode(&hash[..16])))
    }

    /// Whether a list of tags names it. In a weak comparison `W/"x"` is as good as `"x"`.
    fn is_in(&self, list: &str, is_weak: bool) -> bool {
        let mut tags = list.split(',').map(str::trim);
        tags.any(|tag| tag == "*" || tag == self.0 || is_weak && tag.strip_prefix("W/") == Some(&*self.0))
    }

    /// Adds it to a response.
    pub fn on(&self, response: impl IntoResponse) -> Response {
        let mut response = response.into_response();
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(ETAG, value);
        }
        response
    }
}

/// The state of the resource is not one that the client named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the resource has changed")]
pub struct PreconditionFailed;

impl From<PreconditionFailed> for Problem {
    fn from(_: PreconditionFailed) -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition-failed",
            "The resource is not in a state that If-Match names.",
        )
    }
}

/// Under which conditions a client wants an answer. As an extractor it never rejects.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    if_match: Option<String>,
    if_none_match: Option<String>,
}

/// Those of a command. A query has `If-None-Match` alone.
impl IntoParams for Conditions {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![openapi::header("If-Match", "ETags of the states in which the command may be carried out")]
    }
}

impl Conditions {
    /// Whether a command may be carried out on a resource in its state, which is asked for only where it matters.
    ///
    /// # Errors
    /// [`PreconditionFailed`], when `If-Match` names other states.
    pub fn require(&self, current: impl FnOnce() -> ETag) -> Result<(), PreconditionFailed> {
        match &self.if_match {
            Some(list) if !current().is_in(list, false) => Err(PreconditionFailed),
            Some(_) | None => Ok(()),
        }
    }

    /// Answers a `GET` with the resource and its tag, with 412 when `If-Match` does not name it, or with 304 when
    /// `If-None-Match` does.
    pub fn answer(&self, current: &ETag, resource: impl IntoResponse) -> Response {
        if let Err(failed) = self.require(|| current.clone()) {
            return Problem::from(failed).into_response();
        }
        match &self.if_none_match {
            Some(list) if current.is_in(list, true) => current.on(StatusCode::NOT_MODIFIED),
            Some(_) | None => current.on(resource),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Conditions {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let list = |name| list(&parts.headers, name);
        Ok(Self { if_match: list(IF_MATCH), if_none_match: list(IF_NONE_MATCH) })
    }
}

/// All values of a header as one list. What is no text names nothing.
fn list(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    values.map(str::to_owned).reduce(|list, value| list + "," + &value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_its_state_alone() {
        let tag = ETag::of(&(1, "a"));
        assert_eq!(tag, ETag::of(&(1, "a")));
        assert_ne!(tag, ETag::of(&(2, "a")));
        assert!(tag.0.len() == 34 && tag.0.starts_with('"') && tag.0.ends_with('"'), "{tag:?}");
    }

    #[test]
    fn lists_and_weak_tags_are_compared_as_the_standard_says() {
        let tag = ETag::of(&1);
        let weak = format!("W/{}", tag.0);
        for (list, strong, any) in [
            (tag.0.clone(), true, true),
            ("*".to_owned(), true, true),
            (format!("\"x\" , {}", tag.0), true, true),
            (weak, false, true),
            ("\"x\"".to_owned(), false, false),
            (String::new(), false, false),
            (tag.0.trim_matches('"').to_owned(), false, false),
        ] {
            assert_eq!((tag.is_in(&list, false), tag.is_in(&list, true)), (strong, any), "{list}");
        }
    }
}
