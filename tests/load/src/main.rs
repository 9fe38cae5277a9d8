//! The benchmark: starts the stack, measures it on this machine and prints a table. It asserts nothing.

mod backlog;
mod baseline;
mod bench;
mod books;
mod chart;
mod commands;
mod counter;
mod events;
mod expiry;
mod growth;
mod hot_statements;
mod kafka_tool;
mod oha;
mod outcome;
mod pipeline;
mod process;
mod progress;
mod reads;
mod reconcile;
mod report;
mod scripts;
mod statements;
mod table;
mod vegeta;
mod withdrawals;

use std::time::Duration;

use clap::{Parser, Subcommand, value_parser};
use local_stack::kafka::{KafkaOptions, Tuning};
use local_stack::postgres::PostgresOptions;
use local_stack::stack::{BrokerSource, PostgresSource, Stack, StackOptions};

use crate::hot_statements::HotStatements;
use crate::report::Report;

/// Measures the mileage system on this machine: without a command, all cases beside their baselines, in about ten minutes.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    options: bench::Options,
    #[command(subcommand)]
    by_itself: Option<ByItself>,
}

/// What is not part of it.
#[derive(Subcommand)]
enum ByItself {
    /// How fast due points expire, and what that does to those who earn and use meanwhile
    Expiry {
        /// How many accounts have lots that are due
        #[arg(long, default_value_t = 25_000, value_parser = value_parser!(u32).range(1..=10_000_000))]
        accounts: u32,
        /// How many lots of each are due
        #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(1..=100))]
        lots_each: u32,
        /// Also tell which statements take Postgres's time, as pg_stat_statements has it
        #[arg(long)]
        statements: bool,
    },
    /// What each statement of a request takes, and its plan, with small books and with large ones
    Growth {
        /// How many accounts there are; may be repeated
        #[arg(long, default_values_t = [1_000, 100_000, 1_000_000], value_parser = value_parser!(u32).range(100..=10_000_000))]
        accounts: Vec<u32>,
        /// How many ledger entries, and lots, each has
        #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=1_000))]
        entries_each: u32,
        /// How long each request is measured, in seconds
        #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=3_600))]
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
    let Arguments { options, by_itself } = Arguments::parse();
    match by_itself {
        None => bench::run(&options).await,
        Some(ByItself::Expiry { accounts, lots_each, statements }) => {
            expire(accounts, lots_each, statements).await
        }
        Some(ByItself::Growth { accounts, entries_each, seconds }) => {
            growth::run(&accounts, entries_each, Duration::from_secs(seconds.into())).await
        }
        Some(ByItself::Reconcile { accounts, entries_each }) => reconcile(accounts, entries_each).await,
        Some(ByItself::Sms { messages, latency_ms }) => sms(messages, latency_ms).await,
    }
}

/// Starts the services with a Postgres that keeps what it commits, and may count what its statements take.
async fn durable_stack(
    env: Vec<(String, String, String)>,
    tuning: Tuning,
    counted: bool,
) -> anyhow::Result<Stack> {
    let settings = if counted { vec![hot_statements::SETTING] } else { Vec::new() };
    let options = PostgresOptions { durable: true, settings, ..PostgresOptions::default() };
    let postgres = PostgresSource::Own(options);
    let broker = BrokerSource::Kafka(KafkaOptions { tuning, ..KafkaOptions::default() });
    Stack::start(StackOptions { postgres, broker, env, ..StackOptions::default() }).await
}

async fn sms(messages: u32, latency_ms: u32) -> anyhow::Result<()> {
    let latency = ("message".to_owned(), "SMS_LATENCY_MS".to_owned(), latency_ms.to_string());
    let stack = durable_stack(vec![latency], Tuning::Quick, false).await?;
    let worked_off = backlog::work_off(&stack, messages).await?;
    stack.stop().await;
    let mut report = Report::default();
    report.backlog(latency_ms, &worked_off);
    report.print();
    Ok(())
}

async fn expire(accounts: u32, lots_each: u32, counted: bool) -> anyhow::Result<()> {
    let stack = durable_stack(Vec::new(), Tuning::Quick, counted).await?;
    let statements = HotStatements::of(&stack, counted).await?;
    let expired = expiry::expire(&stack, accounts, lots_each, &statements).await?;
    stack.stop().await;
    let mut report = Report::default();
    report.expiry(&expired);
    report.print();
    Ok(())
}

async fn reconcile(accounts: u32, entries_each: u32) -> anyhow::Result<()> {
    let stack = durable_stack(Vec::new(), Tuning::Quick, false).await?;
    let reconciled = reconcile::reconcile(&stack, accounts, entries_each).await?;
    stack.stop().await;
    let mut report = Report::default();
    report.reconcile(&reconciled);
    report.print();
    Ok(())
}
