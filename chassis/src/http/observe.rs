//! What is logged and measured of a request. Routes, not paths: a path may hold personal data.

use std::time::{Duration, Instant};

use axum::extract::MatchedPath;
use http::{Method, StatusCode};
use metrics::{counter, histogram};
use tracing::Span;

use super::OPERATIONAL_ROUTES;
use crate::TraceParent;
use crate::metrics::{HTTP_DURATION, HTTP_REQUESTS};

/// A request under observation. One that is dropped before its end was aborted: the client hung up, or the shutdown
/// could not wait any longer.
pub(super) struct Observation {
    has_ended: bool,
    began: Instant,
    method: &'static str,
    route: Option<MatchedPath>,
    span: Span,
}

impl Observation {
    pub(super) fn begin(
        method: &Method,
        route: Option<&MatchedPath>,
        request_id: &str,
        trace_parent: TraceParent,
    ) -> Self {
        let method = method_label(method);
        let span = tracing::info_span!(
            "request",
            method,
            route = route_label(route),
            request_id,
            trace_id = trace_parent.trace_id(),
        );
        Self { has_ended: false, began: Instant::now(), method, route: route.cloned(), span }
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// A success is logged at DEBUG only: this is a busy service, and the metrics count it. So is a probe, which comes
    /// every few seconds and logs by itself what is wrong.
    pub(super) fn end(mut self, status: StatusCode) {
        self.has_ended = true;
        let elapsed = self.began.elapsed();
        let _entered = self.span.enter();
        let latency_ms = milliseconds(elapsed);
        let code = status.as_u16();
        match code {
            _ if self.is_probe() => tracing::debug!(status = code, latency_ms, "probe answered"),
            500.. => tracing::warn!(status = code, latency_ms, "request failed"),
            400..500 => tracing::info!(status = code, latency_ms, "request refused"),
            _ => tracing::debug!(status = code, latency_ms, "request answered"),
        }
        self.record(elapsed, code.to_string());
    }

    fn abort(&self) {
        let elapsed = self.began.elapsed();
        let _entered = self.span.enter();
        tracing::info!(latency_ms = milliseconds(elapsed), "request aborted");
        self.record(elapsed, "aborted".to_owned());
    }

    fn record(&self, elapsed: Duration, status: String) {
        let route = route_label(self.route.as_ref()).to_owned();
        histogram!(HTTP_DURATION, "method" => self.method, "route" => route.clone()).record(elapsed);
        counter!(HTTP_REQUESTS, "method" => self.method, "route" => route, "status" => status).increment(1);
    }

    fn is_probe(&self) -> bool {
        self.route.as_ref().is_some_and(|route| OPERATIONAL_ROUTES.contains(&route.as_str()))
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if !self.has_ended {
            self.abort();
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

fn route_label(route: Option<&MatchedPath>) -> &str {
    route.map_or("unmatched", MatchedPath::as_str)
}

/// A client may invent methods; metrics must not grow with them.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
