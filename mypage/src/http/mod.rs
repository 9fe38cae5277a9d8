//! The HTTP interface.

mod mypages;

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
        .route("/mypages", get(mypages::list))
        .route("/mypages/{memberId}", get(mypages::get))
        .with_state(state)
}
