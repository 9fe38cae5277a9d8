//! Tells the metrics how much waits to be published, and for how long. Every replica tells the same, as they share the
//! table: also when none of them relays.

use std::time::Duration;

use metrics::gauge;
use sqlx::{PgExecutor, PgPool};

use crate::delivery::metrics::{OUTBOX_EVENTS, OUTBOX_OLDEST_AGE};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Counting further would cost what it measures; from there on the age tells how bad it is.
const MOST_COUNTED: i64 = 100_000;

/// Looks now and again, for ever.
///
/// # Errors
/// When the database fails; to be restarted by the supervisor.
pub(in crate::delivery) async fn watch_depth(pool: &PgPool) -> sqlx::Result<()> {
    loop {
        let (count, age) = depth(pool, MOST_COUNTED).await?;
        gauge!(OUTBOX_EVENTS).set(count as f64);
        gauge!(OUTBOX_OLDEST_AGE).set(age);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How many events wait, counted up to `most`, and for how many seconds the oldest has.
pub(super) async fn depth(executor: impl PgExecutor<'_>, most: i64) -> sqlx::Result<(i64, f64)> {
    let depth = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM (SELECT FROM outbox ORDER BY id LIMIT $1) AS counted) AS "count!",
                  greatest(extract(epoch FROM now() - (SELECT created_at FROM outbox ORDER BY id LIMIT 1)), 0)::float8
                      AS "age!""#,
        most,
    )
    .fetch_one(executor)
    .await?;
    Ok((depth.count, depth.age))
}
