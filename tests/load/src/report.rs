//! The tables of what is measured by itself.
#![allow(clippy::print_stdout, reason = "the table is what the program is for")]

use crate::backlog::WorkedOff;
use crate::expiry::Expired;
use crate::pipeline::Latencies;
use crate::reconcile::Reconciled;

/// Collects rows and prints them as Markdown, so that they can be pasted into a document.
#[derive(Default)]
pub struct Report {
    latencies: Vec<String>,
    backlogs: Vec<String>,
    expiries: Vec<String>,
    processors: Vec<String>,
    reconciled: Vec<String>,
}

impl Report {
    /// A row of percentiles.
    pub fn latency(&mut self, what: &str, latencies: &Latencies) {
        let ms = |quantile: f64| micros_as_ms(latencies.value_at_quantile(quantile));
        self.latencies.push(format!(
            "| {what} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
            latencies.len(),
            ms(0.5),
            ms(0.95),
            ms(0.99),
            micros_as_ms(latencies.max()),
        ));
    }

    /// A row of what working off a queue took.
    pub fn backlog(&mut self, latency_ms: u32, worked_off: &WorkedOff) {
        let WorkedOff { messages, time, rates, memory } = worked_off;
        // The last look is at a queue that has run dry.
        let steady = rates.get(..rates.len().saturating_sub(1)).unwrap_or_default();
        let slowest = steady.iter().copied().fold(f64::INFINITY, f64::min);
        let fastest = steady.iter().copied().fold(0.0, f64::max);
        self.backlogs.push(format!(
            "| {messages} | {latency_ms} ms | {:.0} s | {:.0} | {slowest:.0} | {fastest:.0} | {} MiB |",
            time.as_secs_f64(),
            f64::from(*messages) / time.as_secs_f64(),
            memory / (1 << 20),
        ));
    }

    /// Rows of what expiring took.
    pub fn expiry(&mut self, expired: &Expired) {
        let Expired { lots, accounts, before, during } = expired;
        for (when, meanwhile) in [("while nothing expires", before), ("while lots expire", during)] {
            self.latency(&format!("PATCH /points {when}"), &meanwhile.changes);
            let shares = meanwhile.processors.iter().map(|(name, share)| format!("{name} {share:.2}"));
            let shares: Vec<_> = shares.collect();
            self.processors.push(format!("| {when} | {} |", shares.join(", ")));
        }
        let seconds = during.time.as_secs_f64();
        let rate = f64::from(*lots) / seconds;
        self.expiries.push(format!("| {lots} | {accounts} | {seconds:.1} s | {rate:.0} |"));
    }

    /// A row of what comparing books took.
    pub fn reconcile(&mut self, reconciled: &Reconciled) {
        let Reconciled { accounts, entries, time, memory } = reconciled;
        let (seconds, mebibytes) = (time.as_secs_f64(), memory / (1 << 20));
        self.reconciled.push(format!("| {entries} | {accounts} | {seconds:.1} s | {mebibytes} MiB |"));
    }

    /// Prints what was collected.
    pub fn print(&self) {
        println!("\n{}", machine());
        for (head, rows) in [
            (
                "| milliseconds | samples | p50 | p95 | p99 | max |\n|---|---|---|---|---|---|",
                &self.latencies,
            ),
            ("| due lots | accounts | time | lots a second |\n|---|---|---|---|", &self.expiries),
            ("| processors used | by each process |\n|---|---|", &self.processors),
            ("| entries | accounts | time | most memory |\n|---|---|---|---|", &self.reconciled),
            (
                "| messages | gateway | time | a second | slowest 5 s | fastest 5 s | most memory |\n\
                 |---|---|---|---|---|---|---|",
                &self.backlogs,
            ),
        ] {
            if !rows.is_empty() {
                println!("\n{head}\n{}", rows.join("\n"));
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "latencies are far below 2^52 microseconds")]
fn micros_as_ms(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// Processor, cores and memory of this machine.
pub fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split(':').nth(1).unwrap_or("unknown").trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, {cores} cores, memory {}",
        field("/proc/cpuinfo", "model name"),
        field("/proc/meminfo", "MemTotal")
    )
}
