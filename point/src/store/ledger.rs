//! The ledger in Postgres: only ever appended to.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared_events::MembershipId;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::accounts::Columns;
use super::{Origin, decoded};
use crate::domain::{Account, Booking, EntryType, LotId, Original, Points, Share, TransactionId};

/// What a shop or an operator says about a change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remarks<'a> {
    /// The shop's receipt.
    pub reference: Option<&'a str>,
    /// Why.
    pub reason: Option<&'a str>,
}

/// A booking that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The id of its entry.
    pub transaction_id: TransactionId,
    /// The ids of its new lots, in their order.
    pub lot_ids: Vec<LotId>,
}

/// Why a booking was not stored.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The membership has a transaction of this type and reference.
    #[error("the reference is taken")]
    ReferenceTaken,
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for AppendError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("ledger_entry_reference_key") => Self::ReferenceTaken,
            Some(_) | None => Self::Database(error),
        }
    }
}

/// Stores an account that is locked after a booking, the entry and what became of the lots: in one statement, since
/// others wait for the lock.
pub async fn append_in_tx(
    tx: &mut PgConnection,
    account: &Account,
    booking: &Booking,
    remarks: Remarks<'_>,
    origin: Origin<'_>,
) -> Result<Stored, AppendError> {
    let row = Columns::of(account);
    let new = &booking.new_lots;
    let row = sqlx::query!(
        r#"WITH changed AS (
             UPDATE account
             SET balance = $2, version = $3, member_status = coalesce($4, member_status),
                 member_version = coalesce($5, member_version), signup_granted = coalesce($6, signup_granted),
                 forfeited = $7, closed_at = CASE WHEN $7::bigint IS NULL THEN NULL ELSE coalesce(closed_at, $8::timestamptz) END
             WHERE membership_id = $1
             RETURNING membership_id),
         entry AS (
             INSERT INTO ledger_entry (membership_id, type, amount, balance_after, reference, reason, cause, refers_to,
                                       actor, occurred_at)
             SELECT membership_id, $9, $10, $2, $11, $12, $13, $14, $15, $8 FROM changed
             RETURNING entry_id),
         made AS (
             INSERT INTO lot (membership_id, entry_id, amount, remaining, earned_at, expires_at, replaces)
             SELECT $1, entry_id, new.amount, new.amount, new.earned_at, new.expires_at, new.replaces
             FROM entry, unnest($16::bigint[], $17::timestamptz[], $18::timestamptz[], $19::bigint[])
                         WITH ORDINALITY AS new (amount, earned_at, expires_at, replaces, number)
             ORDER BY number
             RETURNING lot_id, amount),
         burnt AS (
             UPDATE lot SET remaining = remaining + change.amount
             FROM unnest($20::bigint[], $21::bigint[]) AS change (id, amount)
             WHERE lot_id = change.id),
         moved AS (
             INSERT INTO lot_movement (entry_id, lot_id, amount)
             SELECT entry_id, lot_id, amount FROM entry, made
             UNION ALL
             SELECT entry_id, change.id, change.amount
             FROM entry, unnest($20::bigint[], $21::bigint[]) AS change (id, amount))
         SELECT entry_id AS "entry_id!", ARRAY(SELECT lot_id FROM made ORDER BY lot_id) AS "lot_ids!" FROM entry"#,
        account.membership_id.0,
        account.balance.get(),
        account.version,
        row.member_status,
        row.member_version,
        row.signup_granted,
        row.forfeited,
        origin.now,
        booking.entry_type.as_str(),
        booking.amount,
        remarks.reference,
        remarks.reason,
        origin.cause,
        booking.refers_to,
        origin.provenance.actor,
        &new.iter().map(|lot| lot.amount.get()).collect::<Vec<_>>(),
        &new.iter().map(|lot| lot.earned_at).collect::<Vec<_>>(),
        &new.iter().map(|lot| lot.expires_at).collect::<Vec<_>>(),
        &new.iter().map(|lot| lot.replaces).collect::<Vec<_>>() as &[Option<i64>],
        &booking.lot_changes.iter().map(|change| change.lot_id).collect::<Vec<_>>(),
        &booking.lot_changes.iter().map(|change| change.amount).collect::<Vec<_>>(),
    )
    .fetch_one(tx)
    .await?;
    Ok(Stored { transaction_id: row.entry_id, lot_ids: row.lot_ids })
}

/// Stores accounts that are locked after what expired of each, as [`append_in_tx`] does, all in one statement. Returns the
/// ids of the entries in the order of the accounts.
pub async fn append_expiries_in_tx(
    tx: &mut PgConnection,
    expired: &[(Account, Booking)],
    origin: Origin<'_>,
) -> sqlx::Result<Vec<TransactionId>> {
    let of = |field: fn(&(Account, Booking)) -> i64| expired.iter().map(field).collect::<Vec<i64>>();
    let memberships: Vec<Uuid> = expired.iter().map(|(account, _)| account.membership_id.0).collect();
    let changes = expired.iter().flat_map(|(account, booking)| {
        booking.lot_changes.iter().map(|change| (account.membership_id.0, change.lot_id, change.amount))
    });
    let changes: Vec<(Uuid, LotId, i64)> = changes.collect();
    let rows = sqlx::query!(
        r#"WITH expired AS (
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[])
                      AS expired (membership_id, balance, version, amount)),
         changed AS (
             UPDATE account SET balance = expired.balance, version = expired.version FROM expired
             WHERE account.membership_id = expired.membership_id),
         entry AS (
             INSERT INTO ledger_entry (membership_id, type, amount, balance_after, actor, occurred_at)
             SELECT membership_id, 'EXPIRE', amount, balance, $5, $6 FROM expired
             RETURNING entry_id, membership_id),
         change AS (
             SELECT * FROM unnest($7::uuid[], $8::bigint[], $9::bigint[]) AS change (membership_id, id, amount)),
         burnt AS (
             UPDATE lot SET remaining = remaining + change.amount FROM change WHERE lot_id = change.id),
         moved AS (
             INSERT INTO lot_movement (entry_id, lot_id, amount)
             SELECT entry_id, change.id, change.amount FROM change JOIN entry USING (membership_id))
         SELECT entry_id AS "entry_id!", membership_id AS "membership_id!" FROM entry"#,
        &memberships,
        &of(|(account, _)| account.balance.get()),
        &of(|(account, _)| account.version),
        &of(|(_, booking)| booking.amount),
        origin.provenance.actor,
        origin.now,
        &changes.iter().map(|change| change.0).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.1).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.2).collect::<Vec<_>>(),
    )
    .fetch_all(tx)
    .await?;
    let ids: HashMap<Uuid, TransactionId> =
        rows.into_iter().map(|row| (row.membership_id, row.entry_id)).collect();
    memberships.iter().map(|id| ids.get(id).copied().ok_or(sqlx::Error::RowNotFound)).collect()
}

/// A transaction of an account, as it may be cancelled, or `None` if the account has no such one.
pub async fn original_in_tx(
    tx: &mut PgConnection,
    membership_id: MembershipId,
    transaction_id: TransactionId,
) -> sqlx::Result<Option<Original>> {
    let Some(entry) = sqlx::query!(
        r#"SELECT type AS entry_type, abs(amount) AS "amount!",
                  (SELECT coalesce(sum(abs(amount)), 0)::bigint FROM ledger_entry WHERE refers_to = $2) AS "cancelled!"
           FROM ledger_entry WHERE membership_id = $1 AND entry_id = $2"#,
        membership_id.0,
        transaction_id,
    )
    .fetch_optional(&mut *tx)
    .await?
    else {
        return Ok(None);
    };
    let shares = sqlx::query!(
        r#"SELECT lot_id, abs(moved.amount) AS "amount!", expires_at,
                  (SELECT coalesce(sum(back.amount), 0)::bigint
                   FROM ledger_entry e
                   JOIN lot_movement back ON back.entry_id = e.entry_id
                   JOIN lot given ON given.lot_id = back.lot_id
                   WHERE e.refers_to = $1 AND e.type = 'USE_CANCEL'
                     AND lot.lot_id IN (given.lot_id, given.replaces)) AS "returned!"
           FROM lot_movement moved JOIN lot USING (lot_id)
           WHERE moved.entry_id = $1 ORDER BY expires_at, lot_id"#,
        transaction_id,
    )
    .fetch_all(tx)
    .await?;
    let share = |row: (i64, i64, i64, DateTime<Utc>)| {
        let (lot_id, amount, returned, expires_at) = row;
        let (amount, returned) = (decoded(Points::try_from(amount))?, decoded(Points::try_from(returned))?);
        Ok(Share { lot_id, amount, returned, expires_at })
    };
    let shares = shares.into_iter().map(|row| share((row.lot_id, row.amount, row.returned, row.expires_at)));
    Ok(Some(Original {
        transaction_id,
        entry_type: decoded(entry.entry_type.parse())?,
        amount: decoded(Points::try_from(entry.amount))?,
        cancelled: decoded(Points::try_from(entry.cancelled))?,
        shares: shares.collect::<sqlx::Result<_>>()?,
    }))
}

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
