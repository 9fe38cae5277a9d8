//! How fast due points expire, and what that does to those who earn and use meanwhile.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use local_stack::service::ServiceProcess;
use local_stack::stack::Stack;
use reqwest::{Client, StatusCode};
use serde_json::json;
use sqlx::PgPool;

use crate::books;
use crate::counter::counter;
use crate::hot_statements::HotStatements;
use crate::pipeline::{Latencies, latencies, micros};
use crate::process;

/// Clients that earn and use during the measurement, one request each at a time.
const TILLS: u32 = 4;
/// Members whose points are not due, who come to each of them in turn.
const CUSTOMERS_EACH: u32 = 1_000;
/// How long they do before they are measured, so that connections and plans are as they usually are.
const WARM_UP: Duration = Duration::from_secs(10);
/// How long they are measured at least before anything is due. The service looks once a minute.
const QUIET: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What expiring took.
pub struct Expired {
    /// How many lots.
    pub lots: u32,
    /// Of how many accounts.
    pub accounts: u32,
    /// While nothing expired.
    pub before: Meanwhile,
    /// From the start of the job to the last lot.
    pub during: Meanwhile,
}

/// How it went with those who earned and used for some time.
pub struct Meanwhile {
    /// How long.
    pub time: Duration,
    /// `PATCH /points`.
    pub changes: Latencies,
    /// How many processors each process used on average, in the order of the tables.
    pub processors: Vec<(&'static str, f64)>,
}

/// Makes accounts whose points will soon be due, and waits until they have expired.
pub async fn expire(
    stack: &Stack,
    accounts: u32,
    lots_each: u32,
    statements: &HotStatements,
) -> anyhow::Result<Expired> {
    let pool = PgPool::connect(&stack.database.admin_url()).await?;
    books::write(&pool, i64::from(accounts + TILLS * CUSTOMERS_EACH), lots_each).await?;
    let point = stack.service("point");
    let warm_up = async {
        tokio::time::sleep(WARM_UP).await;
        Ok(())
    };
    change_while(&point.url(), accounts, warm_up).await?;

    let due = "UPDATE point.lot SET expires_at = now() + $2 FROM point.account
               WHERE account.membership_id = lot.membership_id AND member_id <= $1";
    sqlx::query(due).bind(i64::from(accounts)).bind(QUIET).execute(&pool).await?;
    // Else autovacuum would be at it meanwhile.
    sqlx::raw_sql("VACUUM ANALYZE point.lot").execute(&pool).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&pool).await?;
    statements.forget().await?;
    let before = measure_while(stack, accounts, expired(point, 1)).await?;
    statements.leave("before").await?;
    let during = measure_while(stack, accounts, expired(point, u64::from(accounts))).await?;
    statements.leave("expiry").await?;
    Ok(Expired { lots: accounts * lots_each, accounts, before, during })
}

/// Waits until so many accounts have expired lots.
async fn expired(point: &ServiceProcess, accounts: u64) -> anyhow::Result<()> {
    while counter(point, "point_transactions_total", "type=\"EXPIRE\"").await? < accounts {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn measure_while(
    stack: &Stack,
    accounts: u32,
    over: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Meanwhile> {
    let (start, cpu_times) = (Instant::now(), process::cpu_times(stack)?);
    let changes = change_while(&stack.service("point").url(), accounts, over).await?;
    let time = start.elapsed();
    let used = process::cpu_times_since(&cpu_times, stack)?.into_iter();
    let processors = used.map(|(name, used)| (name, used.as_secs_f64() / time.as_secs_f64())).collect();
    Ok(Meanwhile { time, changes, processors })
}

/// Measures changes of points until something is over.
async fn change_while(
    url: &str,
    accounts: u32,
    over: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Latencies> {
    let is_over = Arc::new(AtomicBool::new(false));
    let tills = (0..TILLS).map(|number| {
        let first = accounts + 1 + number * CUSTOMERS_EACH;
        let (url, is_over) = (url.to_owned(), Arc::clone(&is_over));
        tokio::spawn(async move { change(&url, first..first + CUSTOMERS_EACH, &is_over).await })
    });
    let tills: Vec<_> = tills.collect();
    over.await?;
    is_over.store(true, Ordering::SeqCst);
    let mut all = latencies()?;
    for till in tills {
        all.add(till.await??)?;
    }
    Ok(all)
}

/// Lets each of these members earn a point and use one, again and again.
async fn change(url: &str, members: Range<u32>, is_over: &AtomicBool) -> anyhow::Result<Latencies> {
    let (http, mut measured) = (Client::new(), latencies()?);
    for (member_id, amount) in members.cycle().flat_map(|member_id| [(member_id, 1), (member_id, -1)]) {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let began = Instant::now();
        let request = http.patch(format!("{url}/points/{member_id}"));
        let answer = request.json(&json!({ "requirePoint": amount })).send().await?;
        ensure!(answer.status() == StatusCode::OK, "{} for {amount} points", answer.status());
        measured.record(micros(began.elapsed()))?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(measured)
}
