//! Tells the metrics how much waits to be sent. Every replica tells the same, as they share the table.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::metrics;
use crate::store::queue;

const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Looks now and again, for ever.
///
/// # Errors
/// When the database fails; to be restarted by the supervisor.
pub async fn watch_forever(pool: &PgPool, clock: fn() -> DateTime<Utc>) -> sqlx::Result<()> {
    loop {
        let (count, overdue) = queue::depth(pool, clock()).await?;
        metrics::waiting(count, overdue);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
