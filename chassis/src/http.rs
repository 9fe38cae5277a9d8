//! The HTTP surface: two listeners, health, and the layers around every route.

mod body;
mod edge;
mod health;
mod listener;
mod observe;
mod request_id;
mod server;
mod shared_check;
mod state;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;

pub(crate) use listener::listener;
pub(crate) use server::Servers;
pub use state::Limits;
pub(crate) use state::{RequestState, ServerState};

use crate::{Lifecycle, openapi};

/// The routes that the chassis adds. They answer before the start-up is over.
const OPERATIONAL_ROUTES: [&str; 8] = [
    "/livez",
    "/readyz",
    "/actuator/health",
    "/metrics",
    openapi::DOCUMENT_PATH,
    "/docs",
    "/docs/",
    "/docs/{*rest}",
];

/// Puts the layers of a service around a router: request ids, traces, metrics, timeouts, problems.
pub(crate) fn layered(router: Router, state: Arc<ServerState>) -> Router {
    router.layer(from_fn_with_state(state, edge::edge))
}

/// A router with the very same layers as in a running service and default settings, for tests.
pub fn test_router(app: Router) -> Router {
    test_router_with(app, Limits::default())
}

/// As [`test_router`], with other limits.
pub fn test_router_with(app: Router, limits: Limits) -> Router {
    layered(app, Arc::new(ServerState::for_tests(limits, Lifecycle::started())))
}
