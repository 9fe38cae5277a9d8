//! The inbox: what has been handled is skipped when it comes again.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

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

/// Notes the events and says what is to be done with each, in one round trip.
pub(super) async fn admit_all_in_tx(
    tx: &mut PgConnection,
    events: &[&Received],
) -> sqlx::Result<Vec<Admission>> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.inbox_id()).collect();
    // Where two replicas note the same events, none waits for the other in a circle: both go by the id.
    let row = sqlx::query!(
        r#"WITH noted AS (
               INSERT INTO inbox (ce_id) SELECT ce_id FROM unnest($1::uuid[]) AS new (ce_id) ORDER BY ce_id
               ON CONFLICT DO NOTHING RETURNING ce_id)
           SELECT ARRAY(SELECT ce_id FROM noted) AS "fresh!",
                  ARRAY(SELECT number FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS new (topic, key, number)
                        WHERE EXISTS (SELECT FROM parked_event
                                      WHERE parked_event.topic = new.topic AND parked_event.key = new.key))
                      AS "behind_parked!: Vec<i64>""#,
        &ids,
        &events.iter().map(|event| event.topic.suffix()).collect::<Vec<_>>() as &[&str],
        &events.iter().map(|event| event.key.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
    )
    .fetch_one(tx)
    .await?;
    let mut fresh: HashSet<Uuid> = row.fresh.into_iter().collect();
    let behind_parked: HashSet<i64> = row.behind_parked.into_iter().collect();
    let admission = |(number, id)| match (fresh.remove(id), behind_parked.contains(&number)) {
        (false, _) => Admission::Duplicate,
        (true, true) => Admission::BehindParked,
        (true, false) => Admission::Fresh,
    };
    Ok((1..).zip(&ids).map(admission).collect())
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
