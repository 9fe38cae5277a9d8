//! The table.
#![allow(clippy::print_stdout, reason = "the table is what the program is for")]

use std::time::Duration;

use crate::backlog::WorkedOff;
use crate::events;
use crate::expiry::Expired;
use crate::pipeline::Latencies;
use crate::rates::Measured;
use crate::reconcile::Reconciled;

/// Collects rows and prints them as Markdown, so that they can be pasted into a document.
#[derive(Default)]
pub struct Report {
    latencies: Vec<String>,
    processes: Vec<String>,
    backlogs: Vec<String>,
    expiries: Vec<String>,
    reconciled: Vec<String>,
    rates: Vec<String>,
    costs: Vec<String>,
    events: Vec<String>,
    event_costs: Vec<String>,
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

    /// A row of what expiring took.
    pub fn expiry(&mut self, expired: &Expired) {
        let Expired { lots, accounts, time, .. } = expired;
        let (seconds, rate) = (time.as_secs_f64(), f64::from(*lots) / time.as_secs_f64());
        self.expiries.push(format!("| {lots} | {accounts} | {seconds:.1} s | {rate:.0} |"));
    }

    /// A row of what comparing books took.
    pub fn reconcile(&mut self, reconciled: &Reconciled) {
        let Reconciled { accounts, entries, time, memory } = reconciled;
        let (seconds, mebibytes) = (time.as_secs_f64(), memory / (1 << 20));
        self.reconciled.push(format!("| {entries} | {accounts} | {seconds:.1} s | {mebibytes} MiB |"));
    }

    /// A row of how many requests are answered and how fast, and one of what they cost.
    pub fn rate(&mut self, measured: &Measured) {
        let Measured { what, most, half, cpu, caught_up } = measured;
        let ms = |percentile| {
            half.milliseconds(percentile).map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"))
        };
        let behind =
            caught_up.map_or_else(|| "–".to_owned(), |behind| format!("{:.1} s", behind.as_secs_f64()));
        self.rates.push(format!(
            "| {what} | {:.0} | {:.0} | {} | {} | {} | {} | {} | {behind} |",
            most.rate(),
            half.rate(),
            ms("p50"),
            ms("p95"),
            ms("p99"),
            ms("p99.9"),
            most.failed() + half.failed(),
        ));
        self.costs.push(format!("| {what} | {} |", micros_each(cpu, most.served())));
    }

    /// A row of how many events pass, and one of what they cost.
    pub fn events(&mut self, measured: &events::Measured) {
        let events::Measured { what, events, time, baseline, cpu } = measured;
        let ratio =
            baseline.map_or_else(|| "–".to_owned(), |baseline| format!("{:.2}", measured.rate() / baseline));
        self.events.push(format!(
            "| {what} | {events} | {:.1} s | {:.0} | {ratio} |",
            time.as_secs_f64(),
            measured.rate(),
        ));
        self.event_costs.push(format!("| {what} | {} |", micros_each(cpu, u64::from(*events))));
    }

    /// Prints what was collected.
    pub fn print(&self) {
        println!("\n{}", machine());
        for (head, rows) in [
            (
                "| milliseconds | samples | p50 | p95 | p99 | max |\n|---|---|---|---|---|---|",
                &self.latencies,
            ),
            ("| service | what | figure |\n|---|---|---|", &self.processes),
            ("| due lots | accounts | time | lots a second |\n|---|---|---|---|", &self.expiries),
            (
                "| request | most a second | half of it | p50 | p95 | p99 | p99.9 ms | refused or failed | caught up after |\n\
                 |---|---|---|---|---|---|---|---|---|",
                &self.rates,
            ),
            (
                "| microseconds of CPU a request | member | message | point | mypage | Postgres | Kafka |\n\
                 |---|---|---|---|---|---|---|",
                &self.costs,
            ),
            (
                "| events | how many | time | a second | Kafka's own tool = 1 |\n|---|---|---|---|---|",
                &self.events,
            ),
            (
                "| microseconds of CPU an event | member | message | point | mypage | Postgres | Kafka |\n\
                 |---|---|---|---|---|---|---|",
                &self.event_costs,
            ),
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

/// Cells of what each process used of the processors, in microseconds for each of so many.
fn micros_each(cpu: &[(&str, Duration)], count: u64) -> String {
    let each = cpu.iter().map(|(_, time)| format!("{:.0}", time.as_secs_f64() * 1e6 / count.max(1) as f64));
    each.collect::<Vec<_>>().join(" | ")
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
