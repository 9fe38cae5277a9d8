//! Liveness, readiness and metrics.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection, PgPool};
use std::sync::Arc;
use tokio::time::timeout;

use super::shared_check::SharedCheck;
use crate::error::chain;
use crate::problem::RETRY_SHORTLY;
use crate::{Lifecycle, Problem, metrics};

const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// `/livez`, `/readyz` and `/actuator/health`, for both listeners.
pub(super) fn health_router(readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(up))
        .route("/readyz", get(ready))
        .route("/actuator/health", get(ready))
        .with_state(readiness)
}

/// `/metrics`, for the internal listener only.
pub(super) fn metrics_router(handle: PrometheusHandle, pool: PgPool) -> Router {
    Router::new().route("/metrics", get(|| async move { metrics::render(&handle, &pool) }))
}

/// The process is alive, whatever else is down.
async fn up() -> Response {
    Json(json!({"status": "UP"})).into_response()
}

async fn ready(State(readiness): State<Readiness>) -> Result<Response, Problem> {
    match readiness.obstacle().await {
        None => Ok(up().await),
        Some(reason) => Err(Problem::try_again_later("The service is not ready.", RETRY_SHORTLY)
            .with_member("reason", reason)),
    }
}

/// Tells whether the process can serve. Its probe has a connection of its own: a busy pool is no reason to be taken
/// out of service, which would only make the others busier.
#[derive(Clone)]
pub(super) struct Readiness {
    lifecycle: Lifecycle,
    options: PgConnectOptions,
    check: Arc<SharedCheck<Option<PgConnection>>>,
}

impl Readiness {
    pub(super) fn new(lifecycle: Lifecycle, options: PgConnectOptions) -> Self {
        Self { lifecycle, options, check: Arc::default() }
    }

    async fn obstacle(&self) -> Option<&'static str> {
        if self.lifecycle.is_draining() {
            return Some("draining");
        }
        if !self.lifecycle.is_started() {
            return Some("starting");
        }
        let is_reachable = self.check.pass(async |connection| self.is_reachable(connection).await).await;
        (!is_reachable).then_some("database")
    }

    async fn is_reachable(&self, connection: &mut Option<PgConnection>) -> bool {
        match timeout(PROBE_TIMEOUT, self.probe(connection)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "Postgres does not answer the readiness probe");
            }
            Err(_) => tracing::warn!("Postgres does not answer the readiness probe in time"),
        }
        false
    }

    /// Takes the connection out while using it: when that fails or is given up, the next probe makes a new one.
    async fn probe(&self, slot: &mut Option<PgConnection>) -> Result<(), sqlx::Error> {
        if let Some(mut connection) = slot.take()
            && select_one(&mut connection).await.is_ok()
        {
            *slot = Some(connection);
            return Ok(());
        }
        let mut connection = self.options.connect().await?;
        select_one(&mut connection).await?;
        *slot = Some(connection);
        Ok(())
    }
}

async fn select_one(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT 1").execute(connection).await.map(drop)
}
