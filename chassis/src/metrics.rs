//! Metrics in the Prometheus text format. Record with the macros of the `metrics` crate.

use std::fs;
use std::time::Duration;

use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sqlx::PgPool;

use crate::Service;

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
    gauge!("build_info", "service" => service.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
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
    gauge!("db_pool_connections").set(f64::from(pool.size()));
    gauge!("db_pool_idle_connections").set(pool.num_idle() as f64);
    if let Some(bytes) = resident_memory_bytes() {
        gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    handle.render()
}

/// Linux only; elsewhere the gauge is left out.
fn resident_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_of_this_process_is_known() {
        assert!(super::resident_memory_bytes().is_some_and(|bytes| bytes > 500_000));
    }
}
