//! The ledger in Postgres: entries are appended and read, nothing else.

use chrono::{DateTime, Utc};
use shared_events::{MembershipId, Provenance};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::LedgerEntry;

/// Where an entry comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Who asked.
    pub provenance: &'a Provenance,
    /// The event that caused it, where it was one.
    pub cause: Option<Uuid>,
    /// When.
    pub now: DateTime<Utc>,
}

/// Appends an entry.
pub async fn append_in_tx(
    tx: &mut PgConnection,
    membership_id: MembershipId,
    entry: &LedgerEntry,
    origin: Origin<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO ledger_entry (membership_id, type, amount, balance_after, cause, actor, occurred_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        membership_id.0,
        entry.entry_type.as_str(),
        entry.signed_amount(),
        entry.balance_after.get(),
        origin.cause,
        origin.provenance.actor,
        origin.now,
    )
    .execute(tx)
    .await?;
    Ok(())
}
