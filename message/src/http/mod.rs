//! The HTTP interface.

mod error;
#[allow(unused_qualifications, reason = "in what utoipa's attributes make")]
mod messages;

use axum::Router;
use chassis::openapi::Document;
use chrono::{DateTime, Utc};
use shared_events::delivery::Wake;
use sqlx::PgPool;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::SERVICE;

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
    routes().split_for_parts().0.with_state(state)
}

/// What describes them.
#[must_use]
pub fn document() -> Document {
    Document::new(&SERVICE, routes().get_openapi())
        .problems("get", "/messages/{messageId}", [error::message_not_found()])
        .problems("post", "/messages/{messageId}/resend", error::of_resending())
}

fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(messages::list))
        .routes(routes!(messages::get))
        .routes(routes!(messages::resend))
}
