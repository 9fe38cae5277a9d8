//! The table.
#![allow(clippy::print_stdout, reason = "the table is what the program is for")]

use std::time::Duration;

use crate::pipeline::Latencies;

/// Collects rows and prints them as Markdown, so that they can be pasted into a document.
#[derive(Default)]
pub struct Report {
    latencies: Vec<String>,
    processes: Vec<String>,
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

    /// A row of resident memory.
    pub fn memory(&mut self, service: &str, when: &str, bytes: u64) {
        self.processes.push(format!("| {service} | resident memory, {when} | {} MiB |", bytes / (1 << 20)));
    }

    /// A row of the time from execution to readiness.
    pub fn ready(&mut self, service: &str, time: Duration) {
        self.processes.push(format!("| {service} | ready after | {} ms |", time.as_millis()));
    }

    /// Prints what was collected.
    pub fn print(&self) {
        println!("\n{}\n", machine());
        println!("| milliseconds | samples | p50 | p95 | p99 | max |\n|---|---|---|---|---|---|");
        println!("{}\n", self.latencies.join("\n"));
        println!("| service | what | figure |\n|---|---|---|");
        println!("{}", self.processes.join("\n"));
    }
}

#[allow(clippy::cast_precision_loss, reason = "latencies are far below 2^52 microseconds")]
fn micros_as_ms(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// Processor, cores and memory of this machine.
fn machine() -> String {
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
