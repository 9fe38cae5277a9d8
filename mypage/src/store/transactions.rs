//! The latest transactions on pages in Postgres.

use chrono::{DateTime, Utc};
use shared_events::{MemberId, MembershipId};
use sqlx::{PgConnection, PgExecutor};

/// How many a page shows.
pub const SHOWN: i64 = 20;

/// A change of points, as members see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// What point calls it.
    pub transaction_id: i64,
    /// What it was.
    pub entry_type: String,
    /// What the balance changed by.
    pub amount: i64,
    /// The balance after it.
    pub remain_point: i64,
    /// The shop's receipt.
    pub reference: Option<String>,
    /// When.
    pub occurred_at: DateTime<Utc>,
}

/// Adds a transaction to a page, and takes off it what is beyond the latest ones or of a former membership.
pub async fn add_in_tx(
    tx: &mut PgConnection,
    member_id: MemberId,
    membership_id: MembershipId,
    transaction: &Transaction,
) -> sqlx::Result<()> {
    // The deletion does not see what the same statement adds.
    sqlx::query!(
        "WITH added AS (
             INSERT INTO page_transaction (member_id, membership_id, transaction_id, type, amount, remain_point,
                                           reference, occurred_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING)
         DELETE FROM page_transaction
         WHERE member_id = $1
           AND (membership_id <> $2 OR transaction_id <= (
                SELECT transaction_id FROM page_transaction WHERE member_id = $1 AND transaction_id <> $3
                ORDER BY transaction_id DESC OFFSET $9 LIMIT 1))",
        member_id.get(),
        membership_id.0,
        transaction.transaction_id,
        transaction.entry_type,
        transaction.amount,
        transaction.remain_point,
        transaction.reference,
        transaction.occurred_at,
        SHOWN - 1,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes all transactions off a page.
pub async fn clear_in_tx(tx: &mut PgConnection, member_id: MemberId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM page_transaction WHERE member_id = $1", member_id.get()).execute(tx).await?;
    Ok(())
}

/// The latest transactions of a membership, newest first.
pub async fn latest(
    executor: impl PgExecutor<'_>,
    member_id: MemberId,
    membership_id: MembershipId,
) -> sqlx::Result<Vec<Transaction>> {
    sqlx::query_as!(
        Transaction,
        "SELECT transaction_id, type AS entry_type, amount, remain_point, reference, occurred_at
         FROM page_transaction WHERE member_id = $1 AND membership_id = $2
         ORDER BY transaction_id DESC LIMIT $3",
        member_id.get(),
        membership_id.0,
        SHOWN,
    )
    .fetch_all(executor)
    .await
}
