//! Take what is no longer valid out of the accounts, batch by batch.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use shared_events::Provenance;
use shared_events::delivery::Wake;
use shared_events::delivery::outbox::{self, AggregateVersion};
use shared_events::event::PointsExpired;
use sqlx::PgPool;

use super::booking::{next_expiration, parts, version_of};
use crate::domain::{Account, Booking, LotId, TransactionId};
use crate::metrics;
use crate::store::ledger::{self, Stored};
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
    let due = lots::load_all_in_tx(&mut tx, due).await?.into_iter();
    let expired: Vec<(Account, Booking)> = due
        .filter_map(|mut account| {
            let booking = account.expire(now)?;
            Some((account, booking))
        })
        .collect();
    let entries = ledger::append_expiries_in_tx(&mut tx, &expired, origin).await?;
    let events: Vec<(AggregateVersion, PointsExpired)> =
        expired.iter().zip(&entries).map(|(expired, entry)| event(expired, *entry, now)).collect();
    outbox::append_all_in_tx(&mut tx, &events, &provenance).await?;
    tx.commit().await?;
    for (_, booking) in &expired {
        metrics::booked(booking.entry_type, booking.amount);
    }
    if !expired.is_empty() {
        relay.wake();
    }
    Ok((expired.len(), last))
}

fn event(
    (account, booking): &(Account, Booking),
    transaction_id: TransactionId,
    now: DateTime<Utc>,
) -> (AggregateVersion, PointsExpired) {
    let stored = Stored { transaction_id, lot_ids: Vec::new() };
    let event = PointsExpired {
        member_id: account.member_id,
        membership_id: account.membership_id,
        amount: booking.amount.abs(),
        remain_point: booking.balance_after.get(),
        occurred_at: now,
        transaction_id,
        lots: parts(booking, &stored),
        next_expiration: next_expiration(account),
    };
    (version_of(account), event)
}
