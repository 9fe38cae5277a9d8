//! Publish each withdrawal a second time a day later, so that it is the newest record of its key whatever was
//! re-sent in between, and compaction removes the personal data before it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared_events::Provenance;
use shared_events::delivery::Wake;
use sqlx::PgPool;

use crate::store::tombstones;
use crate::usecase::withdraw::publish_in_tx;

/// How long after a withdrawal.
const DELAY: TimeDelta = TimeDelta::days(1);
const CHECK_EVERY: Duration = Duration::from_secs(10 * 60);
const BATCH: i64 = 500;

/// Publishes what is due, now and whenever it becomes due.
///
/// # Errors
/// When the database fails; to be restarted by the supervisor.
pub async fn republish_forever(
    pool: &PgPool,
    relay: &Wake,
    now: impl Fn() -> DateTime<Utc>,
) -> sqlx::Result<()> {
    loop {
        if republish_due(pool, relay, now()).await? == 0 {
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }
}

/// Publishes a batch of what is due at `now` and returns how many withdrawals that were.
///
/// # Errors
/// When the database fails.
pub async fn republish_due(pool: &PgPool, relay: &Wake, now: DateTime<Utc>) -> sqlx::Result<usize> {
    let provenance = Provenance { actor: "service:member".to_owned(), traceparent: None };
    let mut tx = pool.begin().await?;
    let due = tombstones::take_due_in_tx(&mut tx, now - DELAY, now, BATCH).await?;
    for tombstone in &due {
        publish_in_tx(&mut tx, tombstone, &provenance).await?;
    }
    tx.commit().await?;
    relay.wake();
    Ok(due.len())
}
