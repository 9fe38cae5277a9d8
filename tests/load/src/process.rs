//! What a service's process needs.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use local_stack::service::ServiceProcess;

const LOOK_EVERY: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// Resident memory, in bytes.
pub fn resident_bytes(service: &ServiceProcess) -> anyhow::Result<u64> {
    resident_bytes_of(service.pid().context("the service does not run")?)
}

/// Resident memory of a process, in bytes.
pub fn resident_bytes_of(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kibibytes: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kibibytes * 1024)
}

/// Stops a service and measures from its execution to its first 200 at `/readyz`.
pub async fn time_to_ready(service: &ServiceProcess) -> anyhow::Result<Duration> {
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let url = format!("{}/readyz", service.internal_url());
    service.terminate(PATIENCE).await.context("the service does not stop")?;
    let start = Instant::now();
    service.start_again().await?;
    loop {
        if http.get(&url).send().await.is_ok_and(|response| response.status().is_success()) {
            return Ok(start.elapsed());
        }
        ensure!(start.elapsed() < PATIENCE, "{} does not become ready", service.name());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
