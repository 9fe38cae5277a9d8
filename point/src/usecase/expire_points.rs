//! Take what is no longer valid out of the accounts, batch by batch.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use shared_events::Provenance;
use shared_events::delivery::{AfterCommit, Wake};
use sqlx::PgPool;

use super::Journal;
use crate::domain::LotId;
use crate::store::accounts::Due;
use crate::store::{Origin, accounts, lots};

/// How many due lots the first batch of a round looks for.
const FIRST_BATCH: i64 = 100;
const SMALLEST_BATCH: i64 = 10;
const LARGEST_BATCH: i64 = 1_000;
/// An account usually has several due lots, and is better changed once than several times: besides those that were found,
/// so many others of each account are taken in passing.
const IN_PASSING: i64 = 10;
/// What a batch is to take, however fast the machine is: so long does an earning or a use wait for it.
const BATCH_TIME: Duration = Duration::from_millis(15);
/// How often to look when nothing is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Expires what is due, for ever. Of all replicas one works at a time, and for half of the time at most: the rest belongs to
/// those who earn and use.
///
/// # Errors
/// When the database fails; to be restarted by the supervisor.
pub async fn expire_forever(pool: &PgPool, relay: &Wake, clock: fn() -> DateTime<Utc>) -> sqlx::Result<()> {
    loop {
        let (mut behind, mut batch) = (Some(BEGINNING), FIRST_BATCH);
        while let Some(last) = behind {
            let start = Instant::now();
            behind = expire_batch(pool, relay, last, batch, clock()).await?.1;
            let took = start.elapsed();
            batch = next_batch(batch, took);
            tokio::time::sleep(took).await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How many lots the next batch looks for, after one of so many took so long.
fn next_batch(batch: i64, took: Duration) -> i64 {
    let next = if took > BATCH_TIME { batch * 3 / 4 } else { batch * 5 / 4 };
    next.clamp(SMALLEST_BATCH, LARGEST_BATCH)
}

/// A lot, by expiry and id: where a round has come to.
pub type Cursor = (DateTime<Utc>, LotId);

/// Before all lots.
pub const BEGINNING: Cursor = (DateTime::UNIX_EPOCH, 0);

/// Expires the next `batch` due lots and what else is due of their accounts, a bounded number, in one transaction, and publishes
/// it. Returns how many accounts, and where the next batch begins; `None` when there is no next one, or another replica is at
/// it. Who dies in between leaves the rest due. What cannot be expired now is left for the next round, and does not stand in the way
/// of the rest.
///
/// # Errors
/// When the database fails: nothing has expired then.
pub async fn expire_batch(
    pool: &PgPool,
    relay: &Wake,
    behind: Cursor,
    batch: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<(usize, Option<Cursor>)> {
    let mut tx = pool.begin().await?;
    if !accounts::try_lead_in_tx(&mut tx, "point.expiry").await? {
        return Ok((0, None));
    }
    let provenance = Provenance { actor: "service:point".to_owned(), traceparent: None };
    let origin = Origin { provenance: &provenance, cause: None, now };
    let Due { accounts, last } = accounts::lock_due_in_tx(&mut tx, behind, now, batch).await?;
    let with_most = accounts.into_iter().map(|(account, found)| (account, found + IN_PASSING)).collect();
    let mut journal = Journal::default();
    for due in lots::load_due_in_tx(&mut tx, with_most, now).await? {
        match due {
            Ok(due) => journal.note_found_due(due, origin),
            Err(broken) => tracing::error!(error = %broken, "an account is left alone"),
        }
    }
    let mut after = AfterCommit::default();
    let expired = journal.store_in_tx(&mut tx, &mut after).await?.len();
    tx.commit().await?;
    after.run();
    if expired > 0 {
        relay.wake();
    }
    Ok((expired, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_smaller_after_one_that_took_long_and_larger_after_a_short_one_within_limits() {
        let (short, long) = (BATCH_TIME / 2, BATCH_TIME * 2);
        assert_eq!(next_batch(100, long), 75);
        assert_eq!(next_batch(100, short), 125);
        assert_eq!(next_batch(SMALLEST_BATCH, long), SMALLEST_BATCH);
        assert_eq!(next_batch(LARGEST_BATCH, short), LARGEST_BATCH);
    }
}
