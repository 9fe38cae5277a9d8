//! Metrics in the Prometheus text format. Record with the macros of the `metrics` crate.

use std::time::Duration;

use metrics::{describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use sqlx::PgPool;

use crate::Service;

pub(crate) const HTTP_REQUESTS: &str = "http_requests_total";
pub(crate) const HTTP_DURATION: &str = "http_request_duration_seconds";
pub(crate) const HTTP_CONNECTIONS: &str = "http_connections_open";
pub(crate) const HTTP_CONNECTIONS_LIMIT: &str = "http_connections_limit";
pub(crate) const TASK_RESTARTS: &str = "background_task_restarts_total";
const BUILD_INFO: &str = "build_info";
const POOL_CONNECTIONS: &str = "db_pool_connections";
const POOL_IDLE: &str = "db_pool_idle_connections";
const POOL_LIMIT: &str = "db_pool_connections_limit";

const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Upper bounds of duration histograms, in seconds.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Installs the process-wide recorder. Every histogram whose name ends in `_seconds` gets the duration buckets.
///
/// # Errors
/// When a recorder is installed already.
pub fn install(service: &Service) -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), DURATION_BUCKETS)?
        .install_recorder()?;
    describe();
    gauge!(BUILD_INFO, "service" => service.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

fn describe() {
    describe_gauge!(BUILD_INFO, "Always 1; the labels tell what runs");
    describe_counter!(HTTP_REQUESTS, "Requests that were answered, or aborted by the client");
    describe_histogram!(HTTP_DURATION, "From the head of a request to the end of its answer");
    describe_gauge!(HTTP_CONNECTIONS, "Connections that are open");
    describe_gauge!(HTTP_CONNECTIONS_LIMIT, "Most connections at a time; further ones wait to be accepted");
    describe_counter!(TASK_RESTARTS, "How often a background task failed and was restarted");
    describe_gauge!(POOL_CONNECTIONS, "Connections to Postgres that the pool has open");
    describe_gauge!(POOL_IDLE, "Connections of the pool that nobody uses");
    describe_gauge!(POOL_LIMIT, "Most connections that the pool may open");
    Collector::default().describe();
}

/// Folds recorded histogram values together, so that they do not pile up between two scrapes. Runs for ever.
pub(crate) async fn keep_up(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP_INTERVAL).await;
        handle.run_upkeep();
    }
}

/// All metrics as text, with the gauges that are read at this moment.
pub(crate) fn render(handle: &PrometheusHandle, pool: &PgPool) -> String {
    gauge!(POOL_CONNECTIONS).set(f64::from(pool.size()));
    gauge!(POOL_IDLE).set(pool.num_idle() as f64);
    gauge!(POOL_LIMIT).set(f64::from(pool.options().get_max_connections()));
    Collector::default().collect();
    handle.render()
}
