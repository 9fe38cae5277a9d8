//! How fast due points expire, and what that does to those who earn and use meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use local_stack::stack::Stack;
use reqwest::{Client, StatusCode};
use serde_json::json;
use sqlx::PgPool;

use crate::books;
use crate::counter::counter;
use crate::pipeline::{Latencies, latencies, micros};

/// Members who earn and use during the measurement, one request each at a time.
const CUSTOMERS: i64 = 4;
/// How long they are measured without anything expiring.
const QUIET: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(5);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What expiring took.
pub struct Expired {
    /// How many lots.
    pub lots: u32,
    /// Of how many accounts.
    pub accounts: u32,
    /// From the start of the job to the last lot.
    pub time: Duration,
    /// `PATCH /points` while nothing expired.
    pub before: Latencies,
    /// `PATCH /points` while it did.
    pub during: Latencies,
}

/// Makes accounts whose points are due, lets the service find them by starting it again, and waits until they have expired.
pub async fn expire(stack: &Stack, accounts: u32, lots_each: u32) -> anyhow::Result<Expired> {
    let pool = PgPool::connect(&stack.database.admin_url()).await?;
    books::write(&pool, i64::from(accounts) + CUSTOMERS, lots_each).await?;

    let service = stack.service("point");
    let url = service.url();
    let before = change_while(&url, accounts, tokio::time::sleep(QUIET)).await?;
    let due = "UPDATE point.lot SET expires_at = now() FROM point.account
               WHERE account.membership_id = lot.membership_id AND member_id <= $1";
    sqlx::query(due).bind(i64::from(accounts)).execute(&pool).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&pool).await?;
    service.restart().await?;
    let start = Instant::now();
    let done = async {
        // Not counted yet while the service starts.
        while counter(service, "point_transactions_total", "type=\"EXPIRE\"").await.unwrap_or(0)
            < u64::from(accounts)
        {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let during = change_while(&url, accounts, done).await?;
    Ok(Expired { lots: accounts * lots_each, accounts, time: start.elapsed(), before, during })
}

/// Measures changes of points until something is over.
async fn change_while(url: &str, accounts: u32, over: impl Future<Output = ()>) -> anyhow::Result<Latencies> {
    let is_over = Arc::new(AtomicBool::new(false));
    let customers = (1..=CUSTOMERS).map(|number| {
        let (url, is_over) = (format!("{url}/points/{}", i64::from(accounts) + number), Arc::clone(&is_over));
        tokio::spawn(async move { change(&url, &is_over).await })
    });
    let customers: Vec<_> = customers.collect();
    over.await;
    is_over.store(true, Ordering::SeqCst);
    let mut all = latencies()?;
    for customer in customers {
        all.add(customer.await??)?;
    }
    Ok(all)
}

async fn change(url: &str, is_over: &AtomicBool) -> anyhow::Result<Latencies> {
    let (http, mut measured) = (Client::new(), latencies()?);
    let mut amount = 1;
    while !is_over.load(Ordering::SeqCst) {
        let began = Instant::now();
        let answer = http.patch(url).json(&json!({ "requirePoint": amount })).send().await?;
        ensure!(answer.status() == StatusCode::OK, "{} for {amount} points", answer.status());
        measured.record(micros(began.elapsed()))?;
        amount = -amount;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(measured)
}
