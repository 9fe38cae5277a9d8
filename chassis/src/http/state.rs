//! What the layers and extractors know: of the server, and of one request.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use crate::settings::Auth;
use crate::{Lifecycle, Problem, Settings, TraceParent};

/// Limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest body, in bytes.
    pub body_bytes: u64,
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
    /// How long a request may take.
    pub request_timeout: Duration,
}

impl Limits {
    pub(crate) const BODY_BYTES: u64 = 65_536;
    pub(crate) const BODY_TIMEOUT_MS: u64 = 5_000;
    pub(crate) const REQUEST_TIMEOUT_MS: u64 = 10_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: Self::BODY_BYTES,
            body_timeout: Duration::from_millis(Self::BODY_TIMEOUT_MS),
            request_timeout: Duration::from_millis(Self::REQUEST_TIMEOUT_MS),
        }
    }
}

/// What the layers and extractors know of the server; shared by all requests.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub(crate) limits: Limits,
    pub(crate) auth: Auth,
    /// Without a slash at the end.
    pub(crate) public_url: Option<String>,
    pub(crate) lifecycle: Lifecycle,
}

impl ServerState {
    pub(crate) fn new(settings: &Settings, lifecycle: Lifecycle) -> Self {
        let public_url = settings.public_url.as_ref().map(|url| url.trim_end_matches('/').to_owned());
        Self { limits: settings.limits(), auth: settings.auth(), public_url, lifecycle }
    }

    pub(crate) fn for_tests(limits: Limits, lifecycle: Lifecycle) -> Self {
        Self { limits, auth: Auth::None, public_url: None, lifecycle }
    }
}

/// What the layers found out about one request, for the extractors.
#[derive(Debug, Clone)]
pub(crate) struct RequestState {
    pub(crate) server: Arc<ServerState>,
    pub(crate) request_id: Arc<str>,
    pub(crate) trace_parent: TraceParent,
}

impl RequestState {
    /// # Errors
    /// When the route is not inside the layers of the chassis: a mistake in the composition of the service.
    pub(crate) fn of(parts: &Parts) -> Result<&Self, Problem> {
        parts.extensions.get().ok_or_else(|| Problem::internal(&OutsideOfLayers))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a route is outside of the chassis' layers; a test wants chassis::http::test_router")]
struct OutsideOfLayers;
