//! The load generator [oha](https://crates.io/crates/oha), as a process of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::process::Command;

/// Requests that are sent over and over.
#[derive(Clone, Debug)]
pub struct Target {
    /// The method.
    pub method: &'static str,
    /// The address; a regular expression that a new one is drawn from for each request.
    pub url: String,
    /// The JSON bodies, if they have any.
    pub body: Body,
}

/// The bodies of requests.
#[derive(Clone, Debug)]
pub enum Body {
    /// None.
    None,
    /// The same for all.
    Same(&'static str),
    /// A line of this file for each, drawn anew.
    AnyLine(PathBuf),
}

/// How the requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each connection sends the next request as soon as the last is answered: what the service can do at most.
    Saturating,
    /// So many a second, whether or not the answers keep up. A latency counts from when the request was due.
    Open(f64),
}

/// What came of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    summary: Summary,
    latency_percentiles: BTreeMap<String, Option<f64>>,
    status_code_distribution: BTreeMap<String, u64>,
    error_distribution: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// Seconds.
    total: f64,
}

impl Outcome {
    /// Successful answers.
    pub fn served(&self) -> u64 {
        let is_success = |(status, _): &(&String, &u64)| status.starts_with('2');
        self.status_code_distribution.iter().filter(is_success).map(|(_, count)| count).sum()
    }

    /// Answers that are no success, and requests without any. Those that the end of the measurement cut off do not count.
    pub fn failed(&self) -> u64 {
        let answered: u64 = self.status_code_distribution.values().sum();
        let is_cut_off = |error: &str| error.contains("deadline");
        let unanswered =
            self.error_distribution.iter().filter(|(error, _)| !is_cut_off(error)).map(|(_, count)| count);
        answered - self.served() + unanswered.sum::<u64>()
    }

    /// Successful answers a second.
    pub fn rate(&self) -> f64 {
        self.served() as f64 / self.summary.total
    }

    /// A latency in milliseconds, by oha's name of the percentile, such as `p99.9`.
    pub fn milliseconds(&self, percentile: &str) -> Option<f64> {
        self.latency_percentiles.get(percentile).copied().flatten().map(|seconds| seconds * 1_000.0)
    }
}

/// Sends requests for a while, over so many connections.
pub async fn send(
    target: &Target,
    pace: Pace,
    connections: u32,
    duration: Duration,
) -> anyhow::Result<Outcome> {
    let mut command = Command::new("oha");
    command
        .args(["--no-tui", "--output-format", "json", "--rand-regex-url", "-m", target.method])
        .args(["-c", &connections.to_string(), "-z", &format!("{}s", duration.as_secs())])
        // It would follow the Location of what was created.
        .args(["--redirect", "0"]);
    if let Pace::Open(rate) = pace {
        command.args(["-q", &format!("{rate:.0}"), "--latency-correction"]);
    }
    match &target.body {
        Body::None => &mut command,
        Body::Same(body) => command.args(["-T", "application/json", "-d", body]),
        Body::AnyLine(file) => command.args(["-T", "application/json", "-Z"]).arg(file),
    };
    let output = command
        .arg(&target.url)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("oha cannot be run; ./dev bench installs it")?;
    ensure!(output.status.success(), "oha: {}", output.status);
    serde_json::from_slice(&output.stdout).context("the report of oha")
}
