//! The HTTP interface.

mod messages;

use axum::Router;
use axum::routing::get;
use sqlx::PgPool;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct State {
    /// Connections as the serving role.
    pub pool: PgPool,
}

/// Routes for clients.
pub fn public(state: State) -> Router {
    Router::new()
        .route("/messages", get(messages::list))
        .route("/messages/{messageId}", get(messages::get))
        .with_state(state)
}
