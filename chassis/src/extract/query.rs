//! Query parameters.

use axum::extract::FromRequestParts;
use http::Uri;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::field::field_error;
use crate::Problem;

/// Query parameters; when they do not fit the type, 422 `invalid-request`. Unknown ones are ignored.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> Query<T> {
    /// Reads the query of a URI.
    pub(crate) fn from_uri(uri: &Uri) -> Result<Self, Problem> {
        match axum::extract::Query::try_from_uri(uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(invalid(&rejection.body_text())),
        }
    }
}

/// The text is `Failed to deserialize query string: <parameter>: <message>`; the parameter is not always there.
fn invalid(text: &str) -> Problem {
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    let field = match text.split_once(": ") {
        Some((parameter, message)) if !parameter.contains([' ', '`']) => field_error(parameter, message),
        _ => field_error(".", text),
    };
    Problem::invalid_request(vec![field])
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::from_uri(&parts.uri)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::wire::Integer;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Parameters {
        member_id: Integer,
    }

    fn pointer(uri: &'static str) -> Option<String> {
        let problem = Query::<Parameters>::from_uri(&Uri::from_static(uri)).err()?;
        assert_eq!(problem.code(), "invalid-request");
        problem.errors().first().map(|error| error.pointer.clone())
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for uri in ["/?memberId=abc", "/?memberId=", "/", "/?memberId=1&memberId=2", "/?memberId=1.5"] {
            assert_eq!(pointer(uri).as_deref(), Some("/memberId"), "{uri}");
        }
    }

    #[test]
    fn unknown_parameters_are_ignored() {
        let uri = Uri::from_static("/?memberId=7&utm=x");
        assert!(Query::<Parameters>::from_uri(&uri).is_ok_and(|query| query.0.member_id == Integer(7)));
    }
}
