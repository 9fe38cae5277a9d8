//! The HTTP interface.

mod error;
mod members;

use std::time::Duration;

use axum::Router;
use chassis::group_read::GroupRead;
use chassis::openapi::Document;
use chrono::{DateTime, Utc};
use shared_events::MemberId;
use sqlx::PgPool;
use tokio_util::task::TaskTracker;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::SERVICE;
use crate::domain::Member;
use crate::usecase::join::Registrar;
use crate::usecase::withdraw::Withdrawals;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct State {
    /// Connections as the serving role.
    pub pool: PgPool,
    /// Looks members up.
    pub members: GroupRead<MemberId, Member>,
    /// Takes up applications.
    pub registrar: Registrar,
    /// Carries out withdrawals.
    pub withdrawals: Withdrawals,
    /// They run here, so that a client that hangs up does not cancel one.
    pub sagas: TaskTracker,
    /// How long a client waits for a withdrawal; less than a request may take. It goes on after that.
    pub withdrawal_patience: Duration,
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
        .problems("post", "/members", error::of_joining())
        .problems("get", "/members/{memberId}", [error::member_not_found()])
        .problems("delete", "/members/{memberId}", error::of_withdrawing())
}

fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(members::list, members::post))
        .routes(routes!(members::get, members::delete))
}
