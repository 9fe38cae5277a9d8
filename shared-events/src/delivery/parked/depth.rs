//! Tells the metrics how much is parked. Every replica tells the same, as they share the table.

use std::time::Duration;

use metrics::gauge;
use sqlx::PgPool;

use super::store;
use crate::delivery::metrics::{PARKED, PARKED_OLDEST_AGE};
use crate::topic::Topic;

const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Looks now and again, for ever.
///
/// # Errors
/// When the database fails; to be restarted by the supervisor.
pub(in crate::delivery) async fn watch_depth(pool: &PgPool, topics: &[Topic]) -> sqlx::Result<()> {
    loop {
        for topic in topics {
            let (count, age) = store::depth(pool, *topic).await?;
            gauge!(PARKED, "topic" => topic.suffix()).set(count as f64);
            gauge!(PARKED_OLDEST_AGE, "topic" => topic.suffix()).set(age);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
