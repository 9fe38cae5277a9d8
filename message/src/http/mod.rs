//! The HTTP interface.

mod error;
mod messages;

use axum::Router;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use shared_events::delivery::Wake;
use sqlx::PgPool;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct State {
    /// Connections as the serving role.
    pub pool: PgPool,
    /// Wakes the worker when something was queued.
    pub worker: Wake,
    /// What time it is.
    pub clock: fn() -> DateTime<Utc>,
}

/// Routes for clients.
pub fn public(state: State) -> Router {
    Router::new()
        .route("/messages", get(messages::list))
        .route("/messages/{messageId}", get(messages::get))
        .route("/messages/{messageId}/resend", post(messages::resend))
        .with_state(state)
}
