//! The HTTP interface.

mod error;
mod forfeitures;
mod points;

use axum::Router;
use axum::routing::{get, put};
use chassis::RequestContext;
use chrono::{DateTime, Utc};
use shared_events::Provenance;
use shared_events::delivery::Wake;
use sqlx::PgPool;

use crate::fault::Delay;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct State {
    /// Connections as the serving role.
    pub pool: PgPool,
    /// Woken after each commit that published something.
    pub relay: Wake,
    /// What time it is.
    pub clock: fn() -> DateTime<Utc>,
    /// Slows forfeitures down, for drills.
    pub forfeit_delay: Option<Delay>,
}

/// Routes for clients.
pub fn public(state: State) -> Router {
    Router::new().route("/points/{memberId}", get(points::get).patch(points::patch)).with_state(state)
}

/// Routes for the other services.
pub fn internal(state: State) -> Router {
    Router::new().route("/forfeitures/{memberId}", put(forfeitures::put)).with_state(state)
}

fn provenance(context: &RequestContext) -> Provenance {
    Provenance { actor: context.principal.actor(), traceparent: Some(context.trace_parent.to_string()) }
}
