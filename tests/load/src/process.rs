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

/// What a process and its children, those that have ended too, have used of the processors.
pub fn cpu_time_of(pid: u32) -> anyhow::Result<Duration> {
    let mut ticks = cpu_ticks(pid, true)?;
    for child in children_of(pid)? {
        // One that has ended meanwhile counts with its parent's.
        ticks += cpu_ticks(child, false).unwrap_or(0);
    }
    Ok(Duration::from_millis(ticks * 10))
}

/// In hundredths of a second, whatever the kernel's own clock.
fn cpu_ticks(pid: u32, with_ended_children: bool) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let count = if with_ended_children { 4 } else { 2 };
    fields.skip(11).take(count).map(|field| Ok(field.parse::<u64>()?)).sum()
}

fn children_of(pid: u32) -> anyhow::Result<Vec<u32>> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    children.split_whitespace().map(|child| Ok(child.parse()?)).collect()
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
