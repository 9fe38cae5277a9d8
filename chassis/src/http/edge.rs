//! The one layer around every route: the life of a request, from its first header to its last.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use tracing::Instrument;

use super::OPERATIONAL_ROUTES;
use super::body::drained;
use super::listener::Place;
use super::observe::Observation;
use super::request_id;
use super::state::{RequestState, ServerState};
use crate::TraceParent;
use crate::problem::{PROBLEM_JSON, Problem, RETRY_SHORTLY};
use crate::supervisor::panic_message;
use crate::trace::TRACEPARENT;

pub(super) async fn edge(State(server): State<Arc<ServerState>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let place = request.extensions().get::<Arc<Place>>().cloned();
    let uri = request.uri().clone();
    let request_id = request_id::of(request.headers());
    let trace_parent = continue_trace(request.headers());
    let observation = Observation::begin(request.method(), route.as_ref(), &request_id, trace_parent);

    let is_open = server.lifecycle.is_started()
        || route.as_ref().is_some_and(|route| OPERATIONAL_ROUTES.contains(&route.as_str()));
    let lifecycle = server.lifecycle.clone();
    let response = if is_open {
        let timeout = server.limits.request_timeout;
        let mut request = drained(request, server.limits.body_timeout);
        let request_id = Arc::clone(&request_id);
        request.extensions_mut().insert(RequestState { server, request_id, trace_parent });
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
        match tokio::time::timeout(timeout, answer).instrument(observation.span()).await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => panicked(&*panic).into_response(),
            Err(_) => timed_out().into_response(),
        }
    } else {
        starting().into_response()
    };

    let mut response = as_problem(response, &uri);
    request_id::write(&request_id, response.headers_mut());
    // Whoever keeps the connection of a replica that ends would never reach another one, and lose it then. And when all places are
    // taken, another connection waits for this one's.
    if lifecycle.is_draining() || place.is_some_and(|place| place.is_wanted()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    observation.end(response.status());
    response
}

/// Joins the client's trace, or begins one.
fn continue_trace(headers: &HeaderMap) -> TraceParent {
    let incoming =
        headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()?.parse::<TraceParent>().ok());
    incoming.map_or_else(TraceParent::new_root, TraceParent::child)
}

/// Gives every error response the shape of a problem, with the request's path as its instance.
fn as_problem(mut response: Response, uri: &Uri) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return problem.replace(response, Some(uri.path()));
    }
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|value| value == PROBLEM_JSON);
    if is_error && !is_problem {
        return Problem::from_status(status).replace(response, Some(uri.path()));
    }
    response
}

/// The panic hook has logged where; this says in which request.
fn panicked(panic: &(dyn Any + Send)) -> Problem {
    tracing::error!(error = panic_message(panic), "a request handler panicked");
    Problem::from_status(StatusCode::INTERNAL_SERVER_ERROR)
}

fn timed_out() -> Problem {
    Problem::try_again_later(
        "The request took too long; it may or may not have been carried out. Please try again shortly.",
        RETRY_SHORTLY,
    )
}

fn starting() -> Problem {
    Problem::try_again_later("The service is starting. Please try again shortly.", RETRY_SHORTLY)
}
