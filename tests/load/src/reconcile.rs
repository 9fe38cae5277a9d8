//! How fast, and in how much memory, `point reconcile` compares large books.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use local_stack::database::Role;
use local_stack::service::find_binary;
use local_stack::stack::Stack;
use sqlx::PgPool;
use tokio::process::Command;

use crate::{books, process};

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What comparing took.
pub struct Reconciled {
    /// How many accounts.
    pub accounts: u32,
    /// How many ledger entries they have together.
    pub entries: u64,
    /// From start to end.
    pub time: Duration,
    /// The most resident memory, in bytes.
    pub memory: u64,
}

/// Writes books and pages and has them compared.
pub async fn reconcile(stack: &Stack, accounts: u32, entries_each: u32) -> anyhow::Result<Reconciled> {
    let pool = PgPool::connect(&stack.database.admin_url()).await?;
    books::write(&pool, i64::from(accounts), entries_each).await?;
    books::write_members(&pool).await?;
    let mypage = stack.services.get("mypage").url() + "/";
    let start = Instant::now();
    let mut command = Command::new(find_binary("point")?)
        .args(["reconcile", "--quiet", "--mypage-url", &mypage])
        .env("DATABASE_URL", stack.database.url("point", Role::App))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut memory = 0;
    let status = loop {
        tokio::select! {
            status = command.wait() => break status?,
            () = tokio::time::sleep(LOOK_EVERY) => {
                let pid = command.id().context("it has ended")?;
                memory = memory.max(process::resident_bytes_of(pid).unwrap_or(0));
            }
        }
    };
    ensure!(status.success(), "point reconcile: {status}");
    let entries = u64::from(accounts) * u64::from(entries_each);
    Ok(Reconciled { accounts, entries, time: start.elapsed(), memory })
}
