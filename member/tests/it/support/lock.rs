//! Locks of Postgres.

use chassis::testing::until;
use sqlx::PgPool;

/// Waits until a session of the database waits for a lock of another.
pub async fn until_somebody_waits_for_a_lock(pool: &PgPool) {
    until("somebody waits for a lock", async || {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock')",
        )
        .fetch_one(pool)
        .await
        .unwrap()
    })
    .await;
}
