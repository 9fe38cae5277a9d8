//! The HTTP interface.

mod mypages;

use axum::Router;
use chassis::conditional::PreconditionFailed;
use chassis::group_read::GroupRead;
use chassis::openapi::Document;
use shared_events::MemberId;
use sqlx::PgPool;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::SERVICE;
use crate::domain::Transaction;
use crate::store::pages::{self, Page};

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct State {
    /// Connections as the serving role.
    pool: PgPool,
    /// Pages with their latest transactions.
    pages: GroupRead<MemberId, (Page, Vec<Transaction>)>,
}

impl State {
    /// With connections as the serving role.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pages: GroupRead::new(pool.clone(), pages::find_with_latest), pool }
    }
}

/// Routes for clients.
pub fn public(state: State) -> Router {
    routes().split_for_parts().0.with_state(state)
}

/// What describes them.
#[must_use]
pub fn document() -> Document {
    Document::new(&SERVICE, routes().get_openapi()).problems(
        "get",
        "/mypages/{memberId}",
        [mypages::page_not_found(), PreconditionFailed.into()],
    )
}

fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(mypages::list)).routes(routes!(mypages::get))
}
