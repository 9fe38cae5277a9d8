//! The benchmark: each case on stacks of its own making, with its baseline in the same run.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum, value_parser};
use local_stack::kafka::Tuning;
use local_stack::project;
use local_stack::stack::Stack;
use sqlx::PgPool;

use crate::baseline::Baseline;
use crate::commands::Commands;
use crate::hot_statements::HotStatements;
use crate::outcome::Percentiles;
use crate::pipeline::Pipeline;
use crate::report::machine;
use crate::table::{Footprint, Row, Table};
use crate::vegeta::Vegeta;
use crate::{books, chart, durable_stack, events, process, progress, reads, withdrawals};

const STOP_DEADLINE: Duration = Duration::from_secs(35);
/// The time before the first measurement: the broker's code is compiled meanwhile.
const WARM_UP: Duration = Duration::from_secs(24);
/// The rate, beside the half of the most, at which a change of points is followed to my page.
const STEADY: f64 = 500.0;

/// What is measured, and how long.
#[derive(Args)]
pub struct Options {
    /// Measure this and nothing else; may be repeated
    #[arg(long = "case", value_enum)]
    cases: Vec<Case>,

    /// Measure for a few seconds each, with a tenth of the members
    #[arg(long)]
    quick: bool,

    /// Of how many members there are books; a power of ten
    #[arg(long, value_parser = value_parser!(u32).range(100..=1_000_000))]
    members: Option<u32>,

    /// How long each measurement takes, in seconds
    #[arg(long, value_parser = value_parser!(u32).range(1..=3_600))]
    seconds: Option<u32>,

    /// How many changes of points are published and handled; a tenth as many events of members
    #[arg(long, value_parser = value_parser!(u32).range(1_000..=10_000_000))]
    events: Option<u32>,

    /// Also tell which statements take Postgres's time in each case, as pg_stat_statements has it
    #[arg(long)]
    statements: bool,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Earning and using, of any account
    Points,
    /// Earning and using, of one account
    OneAccount,
    /// Joining
    Join,
    /// Looking at members, accounts and pages
    Reads,
    /// From the answer to a change of points to my page
    Pipeline,
    /// Withdrawals while point is slow
    Withdrawals,
    /// Publishing and handling events, beside Kafka's own tools
    Events,
    /// Memory, and the time to start
    Processes,
}

impl Options {
    fn wants(&self, case: Case) -> bool {
        self.cases.is_empty() || self.cases.contains(&case)
    }

    fn members(&self) -> u32 {
        self.members.unwrap_or(if self.quick { 10_000 } else { 100_000 })
    }

    fn each(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(if self.quick { 3 } else { 8 }).into())
    }

    fn drill(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(if self.quick { 10 } else { 60 }).into())
    }

    fn events(&self) -> u32 {
        self.events.unwrap_or(if self.quick { 50_000 } else { 1_000_000 })
    }
}

/// Measures, prints the table, and leaves it and the chart in `bench/` in cargo's target folder.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let mut table = Table { machine: machine(), members: options.members(), ..Table::default() };
    let on_books = [Case::Points, Case::OneAccount, Case::Join, Case::Reads, Case::Pipeline, Case::Processes];
    if on_books.into_iter().any(|case| options.wants(case)) {
        progress::say("the stack starts");
        let stack = durable_stack(Vec::new(), Tuning::Steady, options.statements).await?;
        let statements = HotStatements::of(&stack, options.statements).await?;
        measure_on_books(options, &stack, &statements, &mut table).await?;
        stack.stop().await;
    }
    if options.wants(Case::Withdrawals) {
        progress::say("a stack with a slow point starts");
        let stack = durable_stack(withdrawals::settings(), Tuning::Quick, options.statements).await?;
        let statements = HotStatements::of(&stack, options.statements).await?;
        table.rows.extend(withdrawals::drill(&stack, options.drill(), &statements).await?);
        statements.leave("withdrawals").await?;
        stack.stop().await;
    }
    if options.wants(Case::Events) {
        progress::say("a stack for events starts");
        let stack = durable_stack(Vec::new(), Tuning::Quick, options.statements).await?;
        let statements = HotStatements::of(&stack, options.statements).await?;
        table.rows.extend(events::measure(&stack, options.events()).await?);
        statements.leave("events").await?;
        stack.stop().await;
    }
    progress::say("done");
    table.print();
    leave(&table, &project::target_dir().join("bench"))
}

fn leave(table: &Table, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    serde_json::to_writer_pretty(File::create(folder.join("bench.json"))?, table)?;
    if !table.curve.is_empty() {
        let title = format!("Earn or use, any of {} accounts", table.members);
        chart::draw(&folder.join("latency.svg"), &title, &table.curve)?;
    }
    progress::say(format!("the same is in {}", folder.display()));
    Ok(())
}

/// Stops the services, so that nobody but the baseline uses the database.
pub async fn stop_services(stack: &Stack) -> anyhow::Result<()> {
    for service in stack.services.all() {
        service.terminate(STOP_DEADLINE).await.context("a service did not run")?;
    }
    Ok(())
}

async fn measure_on_books(
    options: &Options,
    stack: &Stack,
    statements: &HotStatements,
    table: &mut Table,
) -> anyhow::Result<()> {
    let (members, each) = (options.members(), options.each());
    let services = || stack.services.all().iter();
    let idle =
        services().map(|service| process::resident_bytes(service)).collect::<anyhow::Result<Vec<u64>>>()?;

    progress::say(format!("books of {members} members, and a copy for pgbench"));
    let pool = PgPool::connect(&stack.database.admin_url()).await?;
    books::write(&pool, members.into(), 1).await?;
    books::write_members(&pool).await?;
    pool.close().await;
    stop_services(stack).await?;
    let baseline = Baseline::copy(stack, members).await?;
    for service in services() {
        service.start_again().await?;
    }
    stack.services.wait_until_consuming().await?;

    let pool = PgPool::connect(&stack.database.admin_url()).await?;
    let vegeta = Vegeta::new()?;
    let commands = Commands::new(stack, &pool, &vegeta, &baseline, members, each);
    progress::say(format!("all warm up, at {STEADY:.0} changes of points a second"));
    commands.keep_earning(STEADY, WARM_UP).await?;
    statements.forget().await?;
    let mut most = 2.0 * STEADY;
    if options.wants(Case::Points) {
        let (row, curve) = commands.points().await?;
        statements.leave("points").await?;
        most = row.per_second();
        table.rows.push(row);
        table.curve = curve;
    }
    if options.wants(Case::OneAccount) {
        table.rows.push(commands.one_account().await?);
        statements.leave("one-account").await?;
    }
    if options.wants(Case::Join) {
        table.rows.push(commands.join().await?);
        statements.leave("join").await?;
    }
    if options.wants(Case::Reads) {
        table.rows.extend(reads::measure(stack, &baseline, members, each).await?);
        statements.leave("reads").await?;
    }
    if options.wants(Case::Pipeline) {
        let pipeline = Pipeline::new(&stack.services);
        for rate in [STEADY, most / 2.0] {
            progress::say(format!("changes of points are followed to my page, at {rate:.0} a second"));
            let load = commands.keep_earning(rate, each);
            let (changed, load) = pipeline.earn_while(commands.followed(), load).await?;
            let row = Row::new("PATCH answered → on my page", load.rate()).failures_of(&load);
            table.rows.push(row.latency(rate, Percentiles::from(&changed.at_mypage)));
            statements.leave(&format!("pipeline-{rate:.0}")).await?;
        }
    }
    if options.wants(Case::Processes) {
        progress::say("the services start again");
        for (service, idle_bytes) in services().zip(idle) {
            let (peak_bytes, name) = (process::peak_bytes(service)?, service.name().to_owned());
            let ready_ms = process::time_to_ready(service).await?.as_millis();
            table.footprints.push(Footprint { service: name, idle_bytes, peak_bytes, ready_ms });
        }
    }
    Ok(())
}
