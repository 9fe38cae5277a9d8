//! Take what is no longer valid out of the accounts, batch by batch.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use shared_events::Provenance;
use shared_events::delivery::{AfterCommit, Wake};
use sqlx::PgPool;

use super::Journal;
use crate::domain::LotId;
use crate::store::{Origin, accounts, lots};

/// Most lots of one transaction: so long at most does an earning or a use wait for it.
pub const BATCH: i64 = 500;
/// How many times as long as a batch took the job rests after it.
const REST: u32 = 2;
/// How often to look when nothing is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Expires what is due, for ever. Of all replicas one works at a time, and for a third of the time at most: the rest belongs
/// to those who earn and use.
///
/// # Errors
/// When the database fails; to be restarted by the supervisor.
pub async fn expire_forever(pool: &PgPool, relay: &Wake, clock: fn() -> DateTime<Utc>) -> sqlx::Result<()> {
    loop {
        let mut behind = Some(BEGINNING);
        while let Some(last) = behind {
            let start = Instant::now();
            behind = expire_batch(pool, relay, last, clock()).await?.1;
            tokio::time::sleep(start.elapsed() * REST).await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A lot, by expiry and id: where a round has come to.
pub type Cursor = (DateTime<Utc>, LotId);

/// Before all lots.
pub const BEGINNING: Cursor = (DateTime::UNIX_EPOCH, 0);

/// Expires what is due of some accounts, in one transaction, and publishes it. Returns how many accounts, and where the next
/// batch begins; `None` when there is no next one, or another replica is at it. Who dies in between leaves the rest due.
/// What cannot be expired now is left for the next round, and does not stand in the way of the rest.
///
/// # Errors
/// When the database fails: nothing has expired then.
pub async fn expire_batch(
    pool: &PgPool,
    relay: &Wake,
    behind: Cursor,
    now: DateTime<Utc>,
) -> sqlx::Result<(usize, Option<Cursor>)> {
    let mut tx = pool.begin().await?;
    if !accounts::try_lead_in_tx(&mut tx, "point.expiry").await? {
        return Ok((0, None));
    }
    let provenance = Provenance { actor: "service:point".to_owned(), traceparent: None };
    let origin = Origin { provenance: &provenance, cause: None, now };
    let (due, last) = accounts::lock_due_in_tx(&mut tx, behind, now, BATCH).await?;
    let mut journal = Journal::default();
    for account in lots::load_all_in_tx(&mut tx, due).await? {
        match account {
            Ok(mut account) => journal.note_expiry(&mut account, origin),
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
