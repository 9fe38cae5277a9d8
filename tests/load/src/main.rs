//! The benchmark: starts the stack, measures it on this machine and prints a table. It asserts nothing.

mod backlog;
mod books;
mod counter;
mod events;
mod expiry;
mod kafka_tool;
mod oha;
mod pipeline;
mod process;
mod rates;
mod reconcile;
mod report;

use std::time::Duration;

use clap::{Parser, Subcommand, value_parser};
use local_stack::postgres::PostgresOptions;
use local_stack::stack::{PostgresSource, Stack, StackOptions};

use crate::pipeline::Pipeline;
use crate::report::Report;

/// Measures the mileage system on this machine.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Option<Benchmark>,
}

#[derive(Subcommand)]
enum Benchmark {
    /// How long an effect takes to be seen everywhere, one at a time. The default
    Pipeline {
        /// How many joins, and how many earnings, are measured
        #[arg(long, default_value_t = 500, value_parser = value_parser!(u32).range(1..=100_000))]
        samples: u32,
    },
    /// How many events a second one process publishes and handles, beside what Kafka's own tools do on the same broker
    Events {
        /// How many changes of points are published and handled; a tenth as many events of members
        #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u32).range(1_000..=10_000_000))]
        events: u32,
    },
    /// How fast due points expire, and what that does to those who earn and use meanwhile
    Expiry {
        /// How many accounts have lots that are due
        #[arg(long, default_value_t = 25_000, value_parser = value_parser!(u32).range(1..=10_000_000))]
        accounts: u32,
        /// How many lots of each are due
        #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(1..=100))]
        lots_each: u32,
    },
    /// How many requests the services answer at most, how fast they answer half as many, and what that costs
    Rates {
        /// Of how many members there are books; a power of ten
        #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u32).range(10..=1_000_000))]
        members: u32,
        /// How long each measurement takes, in seconds
        #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=3_600))]
        seconds: u32,
    },
    /// How fast, and in how much memory, `point reconcile` compares large books
    Reconcile {
        /// How many accounts there are
        #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u32).range(1..=10_000_000))]
        accounts: u32,
        /// How many ledger entries each has
        #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=1_000))]
        entries_each: u32,
    },
    /// How fast one message service sends what is queued
    Sms {
        /// How many messages are queued
        #[arg(long, default_value_t = 50_000, value_parser = value_parser!(u32).range(1..=10_000_000))]
        messages: u32,
        /// How long the gateway takes for each, in milliseconds
        #[arg(long, default_value_t = 100)]
        latency_ms: u32,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().benchmark.unwrap_or(Benchmark::Pipeline { samples: 500 }) {
        Benchmark::Pipeline { samples } => pipeline(samples).await,
        Benchmark::Events { events } => measure_events(events).await,
        Benchmark::Expiry { accounts, lots_each } => expire(accounts, lots_each).await,
        Benchmark::Rates { members, seconds } => rates(members, seconds).await,
        Benchmark::Reconcile { accounts, entries_each } => reconcile(accounts, entries_each).await,
        Benchmark::Sms { messages, latency_ms } => sms(messages, latency_ms).await,
    }
}

/// Starts the services on a Postgres that keeps what it commits.
async fn durable_stack(env: Vec<(String, String, String)>) -> anyhow::Result<Stack> {
    let postgres = PostgresSource::Own(PostgresOptions { durable: true, ..PostgresOptions::default() });
    Stack::start(StackOptions { postgres, env, ..StackOptions::default() }).await
}

async fn pipeline(samples: u32) -> anyhow::Result<()> {
    let stack = durable_stack(Vec::new()).await?;
    let mut report = Report::default();

    for service in stack.services.all() {
        report.memory(service.name(), "idle", process::resident_bytes(service)?);
    }
    let pipeline = Pipeline::new(&stack.services);
    pipeline.warm_up().await?;
    let joined = pipeline.join(samples).await?;
    report.latency("POST /members answered → 1,000 points at point", &joined.at_point);
    report.latency("POST /members answered → 1,000 points at mypage", &joined.at_mypage);
    report.latency("POST /members itself", &joined.answered);
    let changed = pipeline.change_points(samples).await?;
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

async fn sms(messages: u32, latency_ms: u32) -> anyhow::Result<()> {
    let latency = ("message".to_owned(), "SMS_LATENCY_MS".to_owned(), latency_ms.to_string());
    let stack = durable_stack(vec![latency]).await?;
    let worked_off = backlog::work_off(&stack, messages).await?;
    stack.stop().await;
    let mut report = Report::default();
    report.backlog(latency_ms, &worked_off);
    report.print();
    Ok(())
}

async fn measure_events(count: u32) -> anyhow::Result<()> {
    let stack = durable_stack(Vec::new()).await?;
    let measured = events::measure(&stack, count).await?;
    stack.stop().await;
    let mut report = Report::default();
    for one in &measured {
        report.events(one);
    }
    report.print();
    Ok(())
}

async fn expire(accounts: u32, lots_each: u32) -> anyhow::Result<()> {
    let stack = durable_stack(Vec::new()).await?;
    let expired = expiry::expire(&stack, accounts, lots_each).await?;
    stack.stop().await;
    let mut report = Report::default();
    report.latency("PATCH /points while nothing expires", &expired.before);
    report.latency("PATCH /points while lots expire", &expired.during);
    report.expiry(&expired);
    report.print();
    Ok(())
}

async fn rates(members: u32, seconds: u32) -> anyhow::Result<()> {
    let stack = durable_stack(Vec::new()).await?;
    let measured = rates::measure(&stack, members, Duration::from_secs(seconds.into())).await?;
    stack.stop().await;
    let mut report = Report::default();
    for one in &measured {
        report.rate(one);
    }
    report.print();
    Ok(())
}

async fn reconcile(accounts: u32, entries_each: u32) -> anyhow::Result<()> {
    let stack = durable_stack(Vec::new()).await?;
    let reconciled = reconcile::reconcile(&stack, accounts, entries_each).await?;
    stack.stop().await;
    let mut report = Report::default();
    report.reconcile(&reconciled);
    report.print();
    Ok(())
}
