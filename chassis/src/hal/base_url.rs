//! Where links begin.

use std::fmt::Display;

use axum::extract::FromRequestParts;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;

use crate::Problem;
use crate::http::RequestState;

/// Where links begin: `--public-url`, else `http://` and the request's host, else nothing, which makes them relative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// The link to a path, which begins with a slash.
    pub fn href(&self, path: impl Display) -> String {
        format!("{}{path}", self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for BaseUrl {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let configured = RequestState::of(parts)?.server.public_url.clone();
        let base = configured.or_else(|| requested_host(parts).map(|host| format!("http://{host}")));
        Ok(Self(base.unwrap_or_default()))
    }
}

fn requested_host(parts: &Parts) -> Option<Authority> {
    let host = parts.headers.get(HOST)?.to_str().ok()?;
    let authority: Authority = host.parse().ok()?;
    let is_sane = !authority.host().is_empty() && !host.contains('@');
    is_sane.then_some(authority)
}
