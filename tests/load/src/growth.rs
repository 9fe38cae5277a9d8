//! How what a request costs Postgres grows with the books.
#![allow(clippy::print_stdout, reason = "the table is what the program is for")]

use std::fs;
use std::time::Duration;

use local_stack::kafka::Tuning;
use local_stack::project;
use local_stack::stack::Stack;
use sqlx::PgPool;

use crate::baseline::{Baseline, ScriptTime};
use crate::bench::stop_services;
use crate::report::machine;
use crate::scripts::{self, Script};
use crate::{books, durable_stack, progress};

/// Of a statement's beginning more characters than this are not shown.
const LONGEST: usize = 60;

const REQUESTS: [(&str, Script); 5] = [
    ("earn or use", scripts::EARN_OR_USE),
    ("join", scripts::JOIN),
    ("GET /members/{id}", scripts::MEMBER),
    ("GET /points/{id}", scripts::ACCOUNT),
    ("GET /mypages/{id}", scripts::PAGE),
];

/// What a request takes with books of one size.
struct Measured {
    time: ScriptTime,
    plans: String,
}

/// Measures with books of each size, by one client of pgbench, prints what each statement takes on average, and leaves the
/// plans in `bench/plans/` in cargo's target folder.
pub async fn run(sizes: &[u32], entries_each: u32, each: Duration) -> anyhow::Result<()> {
    let folder = project::target_dir().join("bench/plans");
    fs::create_dir_all(&folder)?;
    let mut columns = Vec::with_capacity(sizes.len());
    for accounts in sizes {
        let stack = durable_stack(Vec::new(), Tuning::Quick, false).await?;
        let measured = measure(&stack, *accounts, entries_each, each).await?;
        stack.stop().await;
        let plans = REQUESTS.iter().zip(&measured);
        let text = plans.map(|((what, _), measured)| format!("{what}\n\n{}\n", measured.plans));
        fs::write(folder.join(format!("{accounts}.txt")), text.collect::<String>())?;
        columns.push(measured);
    }
    progress::say(format!("done; the plans are in {}", folder.display()));
    print(sizes, entries_each, &columns);
    Ok(())
}

async fn measure(
    stack: &Stack,
    accounts: u32,
    entries_each: u32,
    each: Duration,
) -> anyhow::Result<Vec<Measured>> {
    progress::say(format!("books of {accounts} members, {entries_each} entries each"));
    let pool = PgPool::connect(&stack.database.admin_url()).await?;
    books::write(&pool, accounts.into(), entries_each).await?;
    books::write_members(&pool).await?;
    stop_services(stack).await?;
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::raw_sql(statement).execute(&pool).await?;
    }
    pool.close().await;
    let postgres = Baseline::of(stack, accounts)?;
    let mut measured = Vec::with_capacity(REQUESTS.len());
    for (what, script) in REQUESTS {
        progress::say(what);
        let time = postgres.time(script, each).await?;
        measured.push(Measured { time, plans: postgres.plans(script).await? });
    }
    Ok(measured)
}

fn print(sizes: &[u32], entries_each: u32, columns: &[Vec<Measured>]) {
    println!("\n{}, {entries_each} ledger entries and lots of each account\n", machine());
    let heads = sizes.iter().map(|accounts| format!(" {accounts} accounts |"));
    println!("| milliseconds |{}", heads.collect::<String>());
    println!("|---|{}", "---|".repeat(sizes.len()));
    for (request, (what, _)) in REQUESTS.iter().enumerate() {
        let times = || columns.iter().map(|measured| &measured[request].time);
        println!("| **{what}** |{}", cells(times().map(|time| time.milliseconds)));
        let Some(first) = times().next().filter(|time| time.statements.len() > 1) else { continue };
        for (index, (beginning, _)) in first.statements.iter().enumerate() {
            let beginning: String = beginning.chars().take(LONGEST).collect();
            println!("| `{beginning}` |{}", cells(times().map(|time| time.statements[index].1)));
        }
    }
}

fn cells(milliseconds: impl Iterator<Item = f64>) -> String {
    milliseconds.map(|it| format!(" {it:.3} |")).collect()
}
