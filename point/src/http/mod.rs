//! The HTTP interface.

mod adjustments;
mod cancellations;
mod command;
mod error;
mod forfeitures;
mod points;
#[allow(unused_qualifications, reason = "in what utoipa's attributes make")]
mod transactions;

use axum::Router;
use axum::routing::put;
use chassis::RequestContext;
use chassis::conditional::PreconditionFailed;
use chassis::group_read::GroupRead;
use chassis::openapi::Document;
use chrono::{DateTime, Utc};
use shared_events::{MemberId, Provenance};
use sqlx::PgPool;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::SERVICE;
use crate::domain::Account;
use crate::fault::Delay;
use crate::usecase::forfeit_points::Forfeiter;
use crate::usecase::transact::Transactor;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct State {
    /// Connections as the serving role.
    pub pool: PgPool,
    /// Looks open accounts up.
    pub accounts: GroupRead<MemberId, Account>,
    /// What time it is.
    pub clock: fn() -> DateTime<Utc>,
    /// Carries out commands.
    pub transactor: Transactor,
    /// Closes accounts.
    pub forfeiter: Forfeiter,
    /// Slows forfeitures down, for drills.
    pub forfeit_delay: Option<Delay>,
}

/// Routes for clients.
pub fn public(state: State) -> Router {
    routes().split_for_parts().0.with_state(state)
}

/// What describes them.
#[must_use]
pub fn document() -> Document {
    let account = "/points/{memberId}";
    let transactions = "/points/{memberId}/transactions";
    let transaction = "/points/{memberId}/transactions/{transactionId}";
    let cancellation = "/points/{memberId}/transactions/{transactionId}/cancellation";
    let adjustments = "/points/{memberId}/adjustments";
    Document::new(&SERVICE, routes().get_openapi())
        .problems("get", account, [error::account_not_found(), PreconditionFailed.into()])
        .problems("patch", account, error::of_changing())
        .problems("post", transactions, error::of_transacting())
        .problems("get", transactions, [error::account_not_found()])
        .problems("get", transaction, [error::account_not_found(), error::transaction_not_found()])
        .problems("post", cancellation, error::of_cancelling())
        .problems("post", adjustments, error::of_adjusting())
}

fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(points::get, points::patch))
        .routes(routes!(transactions::list, transactions::post))
        .routes(routes!(transactions::get))
        .routes(routes!(cancellations::post))
        .routes(routes!(adjustments::post))
}

/// Routes for the other services.
pub fn internal(state: State) -> Router {
    Router::new().route("/forfeitures/{memberId}", put(forfeitures::put)).with_state(state)
}

fn provenance(context: &RequestContext) -> Provenance {
    Provenance { actor: context.principal.actor(), traceparent: Some(context.trace_parent.to_string()) }
}
