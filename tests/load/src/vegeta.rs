//! The load generator [vegeta](https://github.com/tsenart/vegeta), as a process of its own: for requests that differ, each with
//! a key, a number or a member of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use local_stack::scratch::ScratchDir;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::oha::Pace;
use crate::outcome::{Outcome, Percentiles};
use crate::progress;

/// After it a request counts as failed.
const TIMEOUT: &str = "30s";

/// A request that changes something.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: &'static str,
    /// The address.
    pub url: String,
    /// Its `Idempotency-Key`, if it has one.
    pub key: Option<String>,
    /// The JSON body.
    pub body: Option<Value>,
}

impl Request {
    /// As vegeta reads it.
    fn to_target(&self) -> Value {
        let mut target = json!({ "method": self.method, "url": self.url, "header": {} });
        if let Some(key) = &self.key {
            target["header"]["Idempotency-Key"] = json!([key]);
        }
        if let Some(body) = &self.body {
            target["header"]["Content-Type"] = json!(["application/json"]);
            target["body"] = json!(BASE64_STANDARD.encode(body.to_string()));
        }
        target
    }
}

/// Where requests and answers are kept until they have been read.
#[derive(Debug)]
pub struct Vegeta {
    program: PathBuf,
    scratch: ScratchDir,
    attacks: AtomicU32,
}

impl Vegeta {
    /// Nothing is sent yet.
    pub fn new() -> anyhow::Result<Self> {
        // Where Go installs what is not in the path.
        let home = std::env::var_os("GOPATH").map_or_else(
            || std::env::home_dir().unwrap_or_default().join("go"),
            |folders| std::env::split_paths(&folders).next().unwrap_or_default(),
        );
        let installed = home.join("bin/vegeta");
        let program = if installed.exists() { installed } else { PathBuf::from("vegeta") };
        Ok(Self { program, scratch: ScratchDir::new("vegeta")?, attacks: AtomicU32::new(0) })
    }

    /// Sends these requests one after the other, for so long at most, and waits for all answers.
    pub async fn send(
        &self,
        requests: impl Iterator<Item = Request>,
        pace: Pace,
        duration: Duration,
    ) -> anyhow::Result<Outcome> {
        let number = self.attacks.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| self.scratch.path().join(format!("{number}.{name}"));
        let mut targets = String::new();
        for request in requests {
            writeln!(targets, "{}", request.to_target())?;
        }
        std::fs::write(file("targets"), targets)?;
        let mut attack = Command::new(&self.program);
        attack
            .args(["attack", "-format=json", "-lazy", "-max-body=0", "-redirects=-1"])
            .args(["-timeout", TIMEOUT, "-duration", &format!("{}s", duration.as_secs())])
            .arg("-targets")
            .arg(file("targets"))
            .arg("-output")
            .arg(file("answers"));
        match pace {
            Pace::Saturating(clients) => attack.args(["-rate=0", &format!("-max-workers={clients}")]),
            Pace::Open(rate) => attack.args(["-rate", &format!("{rate:.0}/s")]),
        };
        run(attack).await?;
        let mut encode = Command::new(&self.program);
        encode.args(["encode", "-to=csv"]).arg(file("answers"));
        let answers = run(encode).await?;
        for name in ["targets", "answers"] {
            std::fs::remove_file(file(name))?;
        }
        let (outcome, failures) = outcome(&answers)?;
        if !failures.is_empty() {
            progress::say(format!("failed, by status (0: no answer) and reason: {failures:?}"));
        }
        Ok(outcome)
    }
}

async fn run(mut command: Command) -> anyhow::Result<String> {
    command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = command.output().await.context("vegeta cannot be run; ./dev bench installs it")?;
    ensure!(output.status.success(), "vegeta: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How many requests failed, by status and reason.
type Failures<'a> = BTreeMap<(u64, &'a str), u64>;

/// From a line for each answer: when it was asked for in nanoseconds, the status, the nanoseconds it took, the bytes sent and
/// received, and the reason of a failure.
fn outcome(answers: &str) -> anyhow::Result<(Outcome, Failures<'_>)> {
    let mut micros = Histogram::<u64>::new(3)?;
    let mut served = 0;
    let mut failures = Failures::new();
    let (mut first, mut last) = (u64::MAX, 0);
    for answer in answers.lines() {
        let mut fields = answer.split(',');
        let mut number =
            || fields.next().unwrap_or_default().parse::<u64>().context("not an answer of vegeta");
        let (asked, status, took) = (number()?, number()?, number()?);
        (first, last) = (first.min(asked), last.max(asked + took));
        micros.record(took / 1_000)?;
        if (200..300).contains(&status) {
            served += 1;
        } else {
            let reason = reason(fields.nth(2).unwrap_or_default());
            *failures.entry((status, reason)).or_default() += 1;
        }
    }
    ensure!(last > first, "nothing was sent");
    let (failed, seconds) = (failures.values().sum(), (last - first) as f64 / 1e9);
    Ok((Outcome { served, failed, seconds, latency: Percentiles::from(&micros) }, failures))
}

/// The end of an error such as `Patch "http://…": dial tcp …: connection refused`: the same for many requests.
fn reason(error: &str) -> &str {
    error.rsplit(": ").next().unwrap_or(error).trim_end_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_counts_from_the_first_request_to_the_last_answer() {
        let second = 1_000_000_000;
        let line = |asked: u64, status: u32, took: u64| {
            let error = if status == 503 { "503 Service Unavailable" } else { "" };
            format!("{asked},{status},{took},10,0,{error},,,0,POST,http://a,\n")
        };
        let answers = [
            line(5 * second, 201, 2_000_000),
            line(6 * second, 503, second),
            line(5 * second + 1, 200, 4_000_000),
        ];
        let answers = answers.concat();
        let (outcome, failures) = outcome(&answers).unwrap();
        assert_eq!(failures, BTreeMap::from([((503, "503 Service Unavailable"), 1)]));
        assert_eq!((outcome.served, outcome.failed), (2, 1));
        assert!((outcome.seconds - 2.0).abs() < 1e-9);
        assert!((outcome.rate() - 1.0).abs() < 1e-9);
        assert!((outcome.latency.p50 - 4.0).abs() < 0.01);
        assert!(super::outcome("").is_err());
    }

    #[test]
    fn a_reason_is_the_same_whatever_the_address() {
        let refused =
            "\"Patch \"\"http://a/points/1\"\": dial tcp 127.0.0.1:1: connect: connection refused\"";
        assert_eq!(reason(refused), "connection refused");
        assert_eq!(reason("503 Service Unavailable"), "503 Service Unavailable");
    }

    #[test]
    fn a_request_has_its_key_and_body() {
        let body = Some(json!({ "requirePoint": 1 }));
        let request =
            Request { method: "PATCH", url: "http://a/points/1".into(), key: Some("k".into()), body };
        let target = request.to_target();
        assert_eq!(target["header"]["Idempotency-Key"][0], "k");
        assert_eq!(target["body"], "eyJyZXF1aXJlUG9pbnQiOjF9");
        let bare = Request { method: "DELETE", url: "http://a/members/1".into(), key: None, body: None };
        assert_eq!(
            bare.to_target(),
            json!({ "method": "DELETE", "url": "http://a/members/1", "header": {} })
        );
    }
}
