//! Tells the metrics how much waits to be sent. Every replica tells the same, as they share the table.

use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics::gauge;
use sqlx::PgPool;

use crate::store::queue;

const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Looks now and again, for ever.
///
/// # Errors
/// When the database fails; to be restarted by the supervisor.
pub async fn watch_forever(pool: &PgPool, clock: fn() -> DateTime<Utc>) -> sqlx::Result<()> {
    loop {
        let (count, overdue) = queue::depth(pool, clock()).await?;
        gauge!("messages_queued").set(count as f64);
        gauge!("messages_overdue_seconds").set(overdue);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
