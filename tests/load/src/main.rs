//! The benchmark: starts the stack, measures it on this machine and prints a table. It asserts nothing.

mod pipeline;
mod process;
mod report;

use clap::Parser;
use local_stack::postgres::PostgresOptions;
use local_stack::stack::{PostgresSource, Stack, StackOptions};

use crate::pipeline::Pipeline;
use crate::report::Report;

/// Measures the mileage system on this machine.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How many joins, and how many earnings, are measured
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    samples: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let postgres = PostgresSource::Own(PostgresOptions { durable: true, ..PostgresOptions::default() });
    let stack = Stack::start(StackOptions { postgres, ..StackOptions::default() }).await?;
    let mut report = Report::default();

    for service in stack.services.all() {
        report.memory(service.name(), "idle", process::resident_bytes(service)?);
    }
    let pipeline = Pipeline::new(&stack.services);
    pipeline.warm_up().await?;
    let joined = pipeline.join(arguments.samples).await?;
    report.latency("POST /members answered → 1,000 points at point", &joined.at_point);
    report.latency("POST /members answered → 1,000 points at mypage", &joined.at_mypage);
    report.latency("POST /members itself", &joined.answered);
    let changed = pipeline.change_points(arguments.samples).await?;
    report.latency("PATCH /points answered → shown by mypage", &changed.at_mypage);
    report.latency("PATCH /points itself", &changed.answered);
    for service in stack.services.all() {
        report.memory(service.name(), "after the load", process::resident_bytes(service)?);
    }
    for service in stack.services.all() {
        report.ready(service.name(), process::time_to_ready(service).await?);
    }

    stack.stop().await;
    report.print();
    Ok(())
}
