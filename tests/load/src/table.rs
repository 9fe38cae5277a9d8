//! The table, and the same as JSON.
#![allow(clippy::print_stdout, reason = "the table is what the program is for")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::outcome::{Outcome, Percentiles};

/// What one kind of request, or of event, comes to.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What is measured.
    case: String,
    /// How many a second succeed.
    per_second: f64,
    /// How many a second were sent when the latencies were measured.
    latency_at: Option<f64>,
    /// In milliseconds.
    latency_ms: Option<Percentiles>,
    /// What was refused or failed.
    failed: u64,
    baseline: Option<Baseline>,
    /// Seconds of CPU of each process, for each that succeeded.
    cpu_seconds_each: BTreeMap<&'static str, f64>,
    /// How long after the last answer everything was seen everywhere.
    caught_up_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Baseline {
    what: String,
    per_second: f64,
    ratio: f64,
}

impl Row {
    /// A case of which so many a second succeed.
    pub fn new(case: impl Into<String>, per_second: f64) -> Self {
        Self {
            case: case.into(),
            per_second,
            latency_at: None,
            latency_ms: None,
            failed: 0,
            baseline: None,
            cpu_seconds_each: BTreeMap::new(),
            caught_up_seconds: None,
        }
    }

    /// With the latencies of requests that came at a rate.
    #[must_use]
    pub fn latency(mut self, at: f64, latency: Percentiles) -> Self {
        (self.latency_at, self.latency_ms) = (Some(at), Some(latency));
        self
    }

    /// With the failures of some more requests.
    #[must_use]
    pub const fn failures_of(mut self, outcome: &Outcome) -> Self {
        self.failed += outcome.failed;
        self
    }

    /// Beside what something else reaches in the same run.
    #[must_use]
    pub fn beside(mut self, what: &str, per_second: f64) -> Self {
        let ratio = self.per_second / per_second;
        self.baseline = Some(Baseline { what: what.to_owned(), per_second, ratio });
        self
    }

    /// With what each process used of the processors for so many.
    #[must_use]
    pub fn cpu(mut self, used: &[(&'static str, Duration)], count: u64) -> Self {
        let each =
            |(name, time): &(&'static str, Duration)| (*name, time.as_secs_f64() / count.max(1) as f64);
        self.cpu_seconds_each = used.iter().map(each).collect();
        self
    }

    /// With the time it took until everything was seen everywhere.
    #[must_use]
    pub const fn caught_up(mut self, after: Duration) -> Self {
        self.caught_up_seconds = Some(after.as_secs_f64());
        self
    }

    /// How many a second succeed.
    pub const fn per_second(&self) -> f64 {
        self.per_second
    }

    fn rate_cells(&self) -> String {
        let Self { case, per_second, failed, .. } = self;
        let latency = self.latency_ms.map_or_else(
            || "– | – | – | –".to_owned(),
            |it| format!("{:.1} | {:.1} | {:.1} | {:.1}", it.p50, it.p95, it.p99, it.p999),
        );
        let at = self.latency_at.map_or_else(|| "–".to_owned(), |rate| format!("{rate:.0}"));
        let behind = self.caught_up_seconds.map_or_else(|| "–".to_owned(), |it| format!("{it:.1} s"));
        let baseline = self.baseline.as_ref().map_or_else(
            || "– | –".to_owned(),
            |it| format!("{} {:.0} | {:.2}", it.what, it.per_second, it.ratio),
        );
        format!("| {case} | {per_second:.0} | {at} | {latency} | {failed} | {behind} | {baseline} |")
    }

    fn cost_cells(&self) -> String {
        let each = PROCESSES.map(|name| {
            self.cpu_seconds_each.get(name).map_or_else(|| "–".to_owned(), |it| format!("{:.0}", it * 1e6))
        });
        format!("| {} | {} |", self.case, each.join(" | "))
    }
}

/// In the order of the table.
const PROCESSES: [&str; 6] = ["member", "message", "point", "mypage", "Postgres", "Kafka"];

/// What a service's process needs.
#[derive(Debug, Serialize)]
pub struct Footprint {
    /// Which service.
    pub service: String,
    /// Resident memory before any load, in bytes.
    pub idle_bytes: u64,
    /// The most resident memory there was, in bytes.
    pub peak_bytes: u64,
    /// From execution to the first 200 at `/readyz`.
    pub ready_ms: u128,
}

/// A latency of a case at a rate.
#[derive(Debug, Serialize)]
pub struct Point {
    /// Requests a second.
    pub rate: f64,
    /// Of the answers.
    pub latency_ms: Percentiles,
}

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub struct Table {
    /// On what.
    pub machine: String,
    /// Of how many members there were books.
    pub members: u32,
    /// The cases.
    pub rows: Vec<Row>,
    /// The latency of earning and using at several rates.
    pub curve: Vec<Point>,
    /// The processes.
    pub footprints: Vec<Footprint>,
}

impl Table {
    /// Prints it as Markdown, so that it can be pasted into a document.
    pub fn print(&self) {
        println!("\n{}, books of {} members", self.machine, self.members);
        if !self.rows.is_empty() {
            println!(
                "\n| case | most a second | latency at | p50 | p95 | p99 | p99.9 ms | failed | caught up after | baseline a second | ratio |"
            );
            println!("|---|---|---|---|---|---|---|---|---|---|---|");
            self.rows.iter().for_each(|row| println!("{}", row.rate_cells()));
            println!(
                "\n| microseconds of CPU each | {} |\n|---|---|---|---|---|---|---|",
                PROCESSES.join(" | ")
            );
            let with_costs = self.rows.iter().filter(|row| !row.cpu_seconds_each.is_empty());
            with_costs.for_each(|row| println!("{}", row.cost_cells()));
        }
        if !self.footprints.is_empty() {
            println!("\n| service | memory idle | memory at most | ready after |\n|---|---|---|---|");
        }
        for Footprint { service, idle_bytes, peak_bytes, ready_ms } in &self.footprints {
            let [idle, peak] = [idle_bytes, peak_bytes].map(|bytes| bytes / (1 << 20));
            println!("| {service} | {idle} MiB | {peak} MiB | {ready_ms} ms |");
        }
    }
}
