//! The ledger as clients read it.

use chrono::{DateTime, Utc};
use shared_events::MembershipId;
use sqlx::PgExecutor;

use super::decoded;
use crate::domain::{EntryType, LotId, TransactionId};

/// A ledger entry, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its id; `None` for one that was not written.
    pub transaction_id: Option<TransactionId>,
    /// What it records.
    pub entry_type: EntryType,
    /// What the balance changed by.
    pub amount: i64,
    /// The balance after it.
    pub balance_after: i64,
    /// The shop's receipt.
    pub reference: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The transaction that it cancels.
    pub refers_to: Option<TransactionId>,
    /// Who asked.
    pub actor: String,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// What it did to lots.
    pub lots: Vec<Movement>,
}

/// What a transaction did to one lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Which lot; `None` for a new one that was not written.
    pub lot_id: Option<LotId>,
    /// How many points came to it, or went from it (negative).
    pub points: i64,
    /// From when on its points are no longer valid.
    pub expires_at: DateTime<Utc>,
}

struct Row {
    entry_id: i64,
    entry_type: String,
    amount: i64,
    balance_after: i64,
    reference: Option<String>,
    reason: Option<String>,
    refers_to: Option<i64>,
    actor: String,
    occurred_at: DateTime<Utc>,
    lot_ids: Vec<i64>,
    lot_amounts: Vec<i64>,
    lot_expiries: Vec<DateTime<Utc>>,
}

impl TryFrom<Row> for Transaction {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        let lots = row.lot_ids.into_iter().zip(row.lot_amounts).zip(row.lot_expiries);
        Ok(Self {
            transaction_id: Some(row.entry_id),
            entry_type: decoded(row.entry_type.parse())?,
            amount: row.amount,
            balance_after: row.balance_after,
            reference: row.reference,
            reason: row.reason,
            refers_to: row.refers_to,
            actor: row.actor,
            occurred_at: row.occurred_at,
            lots: lots
                .map(|((lot_id, points), expires_at)| Movement { lot_id: Some(lot_id), points, expires_at })
                .collect(),
        })
    }
}

/// Which transactions are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Only those before this one.
    pub before: Option<TransactionId>,
    /// Only of this type.
    pub entry_type: Option<EntryType>,
    /// Only from then on.
    pub from: Option<DateTime<Utc>>,
    /// Only before then.
    pub to: Option<DateTime<Utc>>,
}

/// Transactions of a membership, newest first.
pub async fn list(
    executor: impl PgExecutor<'_>,
    membership_id: MembershipId,
    filter: Filter,
    limit: i64,
) -> sqlx::Result<Vec<Transaction>> {
    sqlx::query_as!(
        Row,
        r#"SELECT entry_id, type AS entry_type, amount, balance_after, reference, reason, refers_to, actor, occurred_at,
                  ARRAY(SELECT lot_id FROM lot_movement m JOIN lot USING (lot_id)
                        WHERE m.entry_id = e.entry_id ORDER BY expires_at, lot_id) AS "lot_ids!",
                  ARRAY(SELECT m.amount FROM lot_movement m JOIN lot USING (lot_id)
                        WHERE m.entry_id = e.entry_id ORDER BY expires_at, lot_id) AS "lot_amounts!",
                  ARRAY(SELECT expires_at FROM lot_movement m JOIN lot USING (lot_id)
                        WHERE m.entry_id = e.entry_id ORDER BY expires_at, lot_id) AS "lot_expiries!"
           FROM ledger_entry e
           WHERE membership_id = $1 AND entry_id < coalesce($2, 9223372036854775807)
             AND ($3::text IS NULL OR type = $3) AND ($4::timestamptz IS NULL OR occurred_at >= $4)
             AND ($5::timestamptz IS NULL OR occurred_at < $5)
           ORDER BY entry_id DESC LIMIT $6"#,
        membership_id.0,
        filter.before,
        filter.entry_type.map(EntryType::as_str),
        filter.from,
        filter.to,
        limit,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(Transaction::try_from)
    .collect()
}

/// A transaction of a membership.
pub async fn find(
    executor: impl PgExecutor<'_>,
    membership_id: MembershipId,
    transaction_id: TransactionId,
) -> sqlx::Result<Option<Transaction>> {
    let Some(before) = transaction_id.checked_add(1) else { return Ok(None) };
    let filter = Filter { before: Some(before), ..Filter::default() };
    let newest = list(executor, membership_id, filter, 1).await?;
    Ok(newest.into_iter().find(|transaction| transaction.transaction_id == Some(transaction_id)))
}
