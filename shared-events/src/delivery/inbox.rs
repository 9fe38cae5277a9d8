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
            "DELETE FROM inbox WHERE ce_id IN
                 (SELECT ce_id FROM inbox WHERE received_at < now() - $1::interval LIMIT $2)",
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
