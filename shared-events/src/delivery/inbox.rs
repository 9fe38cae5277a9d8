//! The inbox: what has been handled is skipped when it comes again.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use sqlx::{PgConnection, PgPool};

use super::received::Received;

/// How long handled events are remembered: longer than any re-delivery by Kafka's own means.
const RETENTION: Duration = Duration::from_secs(8 * 24 * 60 * 60);
const PURGE_EVERY: Duration = Duration::from_secs(60 * 60);
const PURGE_BATCH: i64 = 10_000;

/// What is to be done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is new.
    Fresh,
    /// It was handled before.
    Duplicate,
    /// An earlier event of its topic and key is parked, so it has to wait behind that.
    BehindParked,
}

/// Notes the event and says what is to be done with it, in one round trip.
pub(super) async fn admit_in_tx(tx: &mut PgConnection, event: &Received) -> sqlx::Result<Admission> {
    let row = sqlx::query!(
        r#"WITH noted AS (INSERT INTO inbox (ce_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING ce_id)
           SELECT EXISTS (SELECT FROM noted) AS "fresh!",
                  EXISTS (SELECT FROM parked_event WHERE topic = $2 AND key = $3) AS "behind_parked!""#,
        event.inbox_id(),
        event.topic.suffix(),
        event.key,
    )
    .fetch_one(tx)
    .await?;
    Ok(match (row.fresh, row.behind_parked) {
        (false, _) => Admission::Duplicate,
        (true, true) => Admission::BehindParked,
        (true, false) => Admission::Fresh,
    })
}

/// Forgets what was handled over 8 days ago, hourly and for ever, in small transactions.
///
/// # Errors
/// When the database fails; to be restarted by the supervisor.
pub(super) async fn purge_forever(pool: &PgPool) -> sqlx::Result<()> {
    let retention = PgInterval::try_from(RETENTION).map_err(sqlx::Error::Encode)?;
    loop {
        let purged = sqlx::query!(
            "DELETE FROM inbox WHERE ce_id = ANY (ARRAY(
                 SELECT ce_id FROM inbox WHERE received_at < now() - $1::interval
                 ORDER BY received_at LIMIT $2))",
            retention,
            PURGE_BATCH
        )
        .execute(pool)
        .await?
        .rows_affected();
        if purged == 0 {
            tokio::time::sleep(PURGE_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::delivery::test_support::{DEADLINE, pool};

    #[tokio::test]
    async fn what_was_handled_over_8_days_ago_is_forgotten_and_nothing_else() {
        let pool = pool().await;
        sqlx::raw_sql(
            "INSERT INTO inbox (ce_id, received_at)
             SELECT gen_random_uuid(), now() - age FROM unnest(ARRAY[interval '9 days', '8 days 1 minute', '7 days 23 hours', '0'])
                 AS age, generate_series(1, 10)",
        )
        .execute(&pool)
        .await
        .unwrap();

        let only_the_new_are_left = async {
            while left(&pool).await != 20 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            purged = purge_forever(&pool) => panic!("{purged:?}"),
            waited = timeout(DEADLINE, only_the_new_are_left) => waited.expect("the purge in time"),
        }
        let oldest: bool =
            sqlx::query_scalar("SELECT min(received_at) > now() - interval '8 days' FROM inbox")
                .fetch_one(&pool)
                .await
                .unwrap();
        assert!(oldest);
    }

    async fn left(pool: &PgPool) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM inbox").fetch_one(pool).await.unwrap()
    }
}
