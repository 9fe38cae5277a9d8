//! The HTTP interface.

mod error;
mod members;

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use chrono::{DateTime, Utc};
use shared_events::delivery::Wake;
use sqlx::PgPool;
use tokio_util::task::TaskTracker;

use crate::point_client::PointClient;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct State {
    /// Connections as the serving role.
    pub pool: PgPool,
    /// Woken after each commit that published something.
    pub relay: Wake,
    /// Forfeits points before a withdrawal.
    pub point: PointClient,
    /// Withdrawals run here, so that a client that hangs up does not cancel one.
    pub sagas: TaskTracker,
    /// How long a client waits for a withdrawal; less than a request may take. It goes on after that.
    pub withdrawal_patience: Duration,
    /// What time it is.
    pub clock: fn() -> DateTime<Utc>,
}

/// Routes for clients.
pub fn public(state: State) -> Router {
    Router::new()
        .route("/members", get(members::list).post(members::post))
        .route("/members/{memberId}", get(members::get).delete(members::delete))
        .with_state(state)
}
