//! The HTTP interface.

mod adjustments;
mod cancellations;
mod command;
mod error;
mod forfeitures;
mod points;
mod transactions;

use axum::Router;
use axum::routing::{get, post, put};
use chassis::RequestContext;
use chrono::{DateTime, Utc};
use shared_events::Provenance;
use shared_events::delivery::Wake;
use sqlx::PgPool;

use crate::fault::Delay;
use crate::usecase::transact::Terms;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct State {
    /// Connections as the serving role.
    pub pool: PgPool,
    /// Woken after each commit that published something.
    pub relay: Wake,
    /// What time it is.
    pub clock: fn() -> DateTime<Utc>,
    /// The programme's terms.
    pub terms: Terms,
    /// Slows forfeitures down, for drills.
    pub forfeit_delay: Option<Delay>,
}

/// Routes for clients.
pub fn public(state: State) -> Router {
    Router::new()
        .route("/points/{memberId}", get(points::get).patch(points::patch))
        .route("/points/{memberId}/transactions", get(transactions::list).post(transactions::post))
        .route("/points/{memberId}/transactions/{transactionId}", get(transactions::get))
        .route("/points/{memberId}/transactions/{transactionId}/cancellation", post(cancellations::post))
        .route("/points/{memberId}/adjustments", post(adjustments::post))
        .with_state(state)
}

/// Routes for the other services.
pub fn internal(state: State) -> Router {
    Router::new().route("/forfeitures/{memberId}", put(forfeitures::put)).with_state(state)
}

fn provenance(context: &RequestContext) -> Provenance {
    Provenance { actor: context.principal.actor(), traceparent: Some(context.trace_parent.to_string()) }
}
