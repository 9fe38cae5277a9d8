//! The load generator [oha](https://crates.io/crates/oha), as a process of its own: for what is asked at random, at the least
//! cost beside the services.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::process::Command;

use crate::outcome::{Outcome, Percentiles};

/// How requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each of so many clients sends the next request as soon as the last is answered: what the service can do at most.
    Saturating(u32),
    /// So many a second, whether or not the answers keep up. A latency counts from when the request was due.
    Open(f64),
}

/// Connections of an open load.
const CONNECTIONS: u32 = 64;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    summary: Summary,
    latency_percentiles: BTreeMap<String, Option<f64>>,
    status_code_distribution: BTreeMap<String, u64>,
    error_distribution: BTreeMap<String, u64>,
}

/// Seconds.
#[derive(Debug, Deserialize)]
struct Summary {
    total: f64,
    average: f64,
}

impl From<Report> for Outcome {
    fn from(report: Report) -> Self {
        let answered: u64 = report.status_code_distribution.values().sum();
        let is_success = |(status, _): &(&String, &u64)| status.starts_with('2');
        let served = report.status_code_distribution.iter().filter(is_success).map(|(_, count)| count).sum();
        // Those that the end of the measurement cut off do not count.
        let is_lost = |(error, _): &(&String, &u64)| !error.contains("deadline");
        let lost: u64 = report.error_distribution.iter().filter(is_lost).map(|(_, count)| count).sum();
        let ms = |name: &str| {
            report.latency_percentiles.get(name).copied().flatten().unwrap_or(f64::NAN) * 1_000.0
        };
        let latency = Percentiles {
            mean: report.summary.average * 1_000.0,
            p50: ms("p50"),
            p95: ms("p95"),
            p99: ms("p99"),
            p999: ms("p99.9"),
        };
        Self { served, failed: answered - served + lost, seconds: report.summary.total, latency }
    }
}

/// Reads for a while; the address is a regular expression that a new one is drawn from for each request.
pub async fn get(url: &str, pace: Pace, duration: Duration) -> anyhow::Result<Outcome> {
    let mut command = Command::new("oha");
    command
        .args(["--no-tui", "--output-format", "json", "--rand-regex-url"])
        .args(["-z", &format!("{}s", duration.as_secs())]);
    match pace {
        Pace::Saturating(clients) => command.args(["-c", &clients.to_string()]),
        Pace::Open(rate) => {
            let (rate, connections) = (format!("{rate:.0}"), CONNECTIONS.to_string());
            command.args(["-c", &connections, "-q", &rate, "--latency-correction"])
        }
    };
    let output = command
        .arg(url)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("oha cannot be run; ./dev bench installs it")?;
    ensure!(output.status.success(), "oha: {}", output.status);
    Ok(serde_json::from_slice::<Report>(&output.stdout).context("the report of oha")?.into())
}
