//! What a service's process needs.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use local_stack::service::ServiceProcess;
use local_stack::stack::Stack;

const LOOK_EVERY: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// Resident memory, in bytes.
pub fn resident_bytes(service: &ServiceProcess) -> anyhow::Result<u64> {
    resident_bytes_of(service.pid().context("the service does not run")?)
}

/// The most resident memory since its start, in bytes.
pub fn peak_bytes(service: &ServiceProcess) -> anyhow::Result<u64> {
    memory(service.pid().context("the service does not run")?, "VmHWM:")
}

/// Resident memory of a process, in bytes.
pub fn resident_bytes_of(pid: u32) -> anyhow::Result<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(field)).context("no such figure of memory")?;
    let kibibytes: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kibibytes * 1024)
}

/// What each process of a stack has used of the processors, in the order of the tables; nothing where it does not run.
pub fn cpu_times(stack: &Stack) -> anyhow::Result<Vec<(&'static str, Duration)>> {
    let services = ["member", "message", "point", "mypage"].map(|name| (name, stack.service(name).pid()));
    let postgres = stack.postgres.as_ref().and_then(|postgres| postgres.pid());
    let kafka = stack.kafka().and_then(|kafka| kafka.pid());
    let all = services.into_iter().chain([("Postgres", postgres), ("Kafka", kafka)]);
    all.map(|(name, pid)| Ok((name, pid.map_or(Ok(Duration::ZERO), cpu_time_of)?))).collect()
}

/// What they have used since `before`.
pub fn cpu_times_since(
    before: &[(&'static str, Duration)],
    stack: &Stack,
) -> anyhow::Result<Vec<(&'static str, Duration)>> {
    let used = cpu_times(stack)?.into_iter().zip(before);
    Ok(used.map(|((name, after), (_, before))| (name, after.saturating_sub(*before))).collect())
}

/// What a process and its children, those that have ended too, have used of the processors.
fn cpu_time_of(pid: u32) -> anyhow::Result<Duration> {
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
