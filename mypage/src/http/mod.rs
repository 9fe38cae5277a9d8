//! The HTTP interface.

mod mypages;

use axum::Router;
use chassis::openapi::Document;
use sqlx::PgPool;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::SERVICE;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct State {
    /// Connections as the serving role.
    pub pool: PgPool,
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
        [mypages::page_not_found()],
    )
}

fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(mypages::list)).routes(routes!(mypages::get))
}
