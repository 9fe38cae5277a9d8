//! The ledger in Postgres: only ever appended to.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use shared_events::{MembershipId, Provenance};
use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::Columns;
use super::decoded;
use crate::domain::{Booking, EntryType, LotId, NewLot, Original, Points, Share, TransactionId};

/// What a shop or an operator says about a change.
#[derive(Clone, Debug, Default)]
pub struct Remarks {
    /// The shop's receipt.
    pub reference: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// Lots have ids from here on until they are stored: so can one transaction make a lot and burn it.
pub const UNSTORED: LotId = 1 << 62;

/// A booking to be stored.
#[derive(Clone, Debug)]
pub struct Entry {
    /// On which account.
    pub membership_id: MembershipId,
    /// What is booked.
    pub booking: Booking,
    /// The ids of its new lots: [`UNSTORED`] for the first new lot of all entries that are stored together, and so on.
    pub new_lot_ids: Vec<LotId>,
    /// What is said about it.
    pub remarks: Remarks,
    /// Who asked.
    pub provenance: Provenance,
    /// The event that caused it, where it was one.
    pub cause: Option<Uuid>,
    /// When.
    pub now: DateTime<Utc>,
}

impl Entry {
    /// What it does to each lot: how many points come to it, or go from it (negative), and when it expires.
    pub fn movements(&self) -> impl Iterator<Item = (LotId, i64, DateTime<Utc>)> {
        let changed = self.booking.lot_changes.iter().map(|it| (it.lot_id, it.amount, it.expires_at));
        let made = self.new_lot_ids.iter().zip(&self.booking.new_lots);
        changed.chain(made.map(|(lot_id, lot)| (*lot_id, lot.amount.get(), lot.expires_at)))
    }
}

/// The ids that entries and their new lots got when they were stored, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredIds {
    /// Of the entries.
    pub entries: Vec<TransactionId>,
    lots: Vec<LotId>,
}

impl StoredIds {
    /// The id of a lot that may have been [`UNSTORED`].
    #[must_use]
    pub fn lot(&self, lot_id: LotId) -> LotId {
        let index = lot_id.checked_sub(UNSTORED).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.lots.get(index)).copied().unwrap_or(lot_id)
    }
}

/// Stores accounts that are locked as they are after some bookings, these, and what became of the lots: in one statement,
/// since others wait for the locks.
pub async fn append_in_tx(
    tx: &mut PgConnection,
    accounts: &[Columns],
    entries: &[Entry],
) -> sqlx::Result<StoredIds> {
    let numbered = || (1_i64..).zip(entries);
    let new_lots = numbered().flat_map(|(number, entry)| {
        entry.booking.new_lots.iter().map(move |lot| (number, entry.membership_id.0, lot))
    });
    let new_lots: Vec<(i64, Uuid, &NewLot)> = new_lots.collect();
    let movements = numbered().flat_map(|(number, entry)| {
        entry.movements().map(move |(lot_id, amount, _)| (number, lot_id, amount))
    });
    let movements: Vec<(i64, LotId, i64)> = movements.collect();
    // A row can be changed once in a statement: what becomes of a lot in all is written.
    let mut changes: BTreeMap<LotId, i64> = BTreeMap::new();
    for (_, lot_id, amount) in &movements {
        *changes.entry(*lot_id).or_default() += amount;
    }
    let remaining = changes.split_off(&UNSTORED);
    let row = sqlx::query!(
        r#"WITH changed AS (
             UPDATE account
             SET balance = now.balance, version = now.version, member_status = coalesce(now.member_status, account.member_status),
                 member_version = coalesce(now.member_version, account.member_version),
                 signup_granted = coalesce(now.signup_granted, account.signup_granted), forfeited = now.forfeited,
                 closed_at = CASE WHEN now.forfeited IS NULL THEN NULL ELSE coalesce(closed_at, at) END
             FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::boolean[], $7::bigint[],
                         $8::timestamptz[])
                  AS now (id, balance, version, member_status, member_version, signup_granted, forfeited, at)
             WHERE membership_id = now.id),
         entry AS (
             INSERT INTO ledger_entry (membership_id, type, amount, balance_after, reference, reason, cause, refers_to,
                                       actor, occurred_at)
             SELECT membership_id, type, amount, balance_after, reference, reason, cause, refers_to, actor, occurred_at
             FROM unnest($9::uuid[], $10::text[], $11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::uuid[],
                         $16::bigint[], $17::text[], $18::timestamptz[])
                  WITH ORDINALITY AS new (membership_id, type, amount, balance_after, reference, reason, cause, refers_to,
                                          actor, occurred_at, number)
             ORDER BY number
             RETURNING entry_id),
         entries AS (SELECT ARRAY(SELECT entry_id FROM entry ORDER BY entry_id) AS ids),
         made AS (
             INSERT INTO lot (membership_id, entry_id, amount, remaining, earned_at, expires_at, replaces)
             SELECT membership_id, entries.ids[entry], amount, remaining, earned_at, expires_at, replaces
             FROM entries,
                  unnest($19::uuid[], $20::bigint[], $21::bigint[], $22::bigint[], $23::timestamptz[], $24::timestamptz[],
                         $25::bigint[])
                  WITH ORDINALITY AS new (membership_id, entry, amount, remaining, earned_at, expires_at, replaces, number)
             ORDER BY number
             RETURNING lot_id),
         lots AS (SELECT ARRAY(SELECT lot_id FROM made ORDER BY lot_id) AS ids),
         burnt AS (
             UPDATE lot SET remaining = remaining + change.amount
             FROM unnest($26::bigint[], $27::bigint[]) AS change (id, amount)
             WHERE lot_id = change.id),
         moved AS (
             INSERT INTO lot_movement (entry_id, lot_id, amount)
             SELECT entries.ids[entry], CASE WHEN lot < $31 THEN lot ELSE lots.ids[lot - $31 + 1] END, amount
             FROM entries, lots, unnest($28::bigint[], $29::bigint[], $30::bigint[]) AS movement (entry, lot, amount))
         SELECT entries.ids AS "entries!", lots.ids AS "lots!" FROM entries, lots"#,
        &accounts.iter().map(|account| account.membership_id.0).collect::<Vec<_>>(),
        &accounts.iter().map(|account| account.balance).collect::<Vec<_>>(),
        &accounts.iter().map(|account| account.version).collect::<Vec<_>>(),
        &accounts.iter().map(|account| account.member_status).collect::<Vec<_>>() as &[Option<&str>],
        &accounts.iter().map(|account| account.member_version).collect::<Vec<_>>() as &[Option<i64>],
        &accounts.iter().map(|account| account.signup_granted).collect::<Vec<_>>() as &[Option<bool>],
        &accounts.iter().map(|account| account.forfeited).collect::<Vec<_>>() as &[Option<i64>],
        &accounts.iter().map(|account| account.now).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.membership_id.0).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.booking.entry_type.as_str()).collect::<Vec<_>>() as &[&str],
        &entries.iter().map(|entry| entry.booking.amount).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.booking.balance_after.get()).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.remarks.reference.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
        &entries.iter().map(|entry| entry.remarks.reason.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
        &entries.iter().map(|entry| entry.cause).collect::<Vec<_>>() as &[Option<Uuid>],
        &entries.iter().map(|entry| entry.booking.refers_to).collect::<Vec<_>>() as &[Option<i64>],
        &entries.iter().map(|entry| entry.provenance.actor.as_str()).collect::<Vec<_>>() as &[&str],
        &entries.iter().map(|entry| entry.now).collect::<Vec<_>>(),
        &new_lots.iter().map(|(_, membership_id, _)| *membership_id).collect::<Vec<_>>(),
        &new_lots.iter().map(|(entry, _, _)| *entry).collect::<Vec<_>>(),
        &new_lots.iter().map(|(_, _, lot)| lot.amount.get()).collect::<Vec<_>>(),
        &remaining.into_values().collect::<Vec<_>>(),
        &new_lots.iter().map(|(_, _, lot)| lot.earned_at).collect::<Vec<_>>(),
        &new_lots.iter().map(|(_, _, lot)| lot.expires_at).collect::<Vec<_>>(),
        &new_lots.iter().map(|(_, _, lot)| lot.replaces).collect::<Vec<_>>() as &[Option<i64>],
        &changes.keys().copied().collect::<Vec<_>>(),
        &changes.values().copied().collect::<Vec<_>>(),
        &movements.iter().map(|(entry, _, _)| *entry).collect::<Vec<_>>(),
        &movements.iter().map(|(_, lot_id, _)| *lot_id).collect::<Vec<_>>(),
        &movements.iter().map(|(_, _, amount)| *amount).collect::<Vec<_>>(),
        UNSTORED,
    )
    .fetch_one(tx)
    .await?;
    Ok(StoredIds { entries: row.entries, lots: row.lots })
}

/// A shop's receipt: counts once on an account for each of the two types that have one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// On which account.
    pub membership_id: MembershipId,
    /// `EARN` or `USE`.
    pub entry_type: EntryType,
    /// What the shop calls it.
    pub reference: String,
}

/// Which of these receipts, of accounts that are locked, are in the ledger.
pub async fn booked_in_tx(tx: &mut PgConnection, receipts: &[Receipt]) -> sqlx::Result<HashSet<Receipt>> {
    if receipts.is_empty() {
        return Ok(HashSet::new());
    }
    let booked = sqlx::query!(
        // One by one: a plan from before there were receipts would read all there are since.
        r#"SELECT entry.membership_id, entry.type AS entry_type, entry.reference AS "reference!"
           FROM unnest($1::uuid[], $2::text[], $3::text[]) AS asked (membership_id, type, reference),
                LATERAL (SELECT * FROM ledger_entry own
                         WHERE own.membership_id = asked.membership_id AND own.type = asked.type
                           AND own.reference = asked.reference AND own.type IN ('EARN', 'USE') LIMIT 1) AS entry"#,
        &receipts.iter().map(|receipt| receipt.membership_id.0).collect::<Vec<_>>(),
        &receipts.iter().map(|receipt| receipt.entry_type.as_str()).collect::<Vec<_>>() as &[&str],
        &receipts.iter().map(|receipt| receipt.reference.as_str()).collect::<Vec<_>>() as &[&str],
    )
    .fetch_all(tx)
    .await?;
    let receipt = |membership_id, entry_type: &str, reference| {
        let (membership_id, entry_type) = (MembershipId(membership_id), decoded(entry_type.parse())?);
        Ok(Receipt { membership_id, entry_type, reference })
    };
    booked.into_iter().map(|row| receipt(row.membership_id, &row.entry_type, row.reference)).collect()
}

/// A transaction of an account, as it may be cancelled at a time, or `None` if the account has no such one.
pub async fn original_in_tx(
    tx: &mut PgConnection,
    membership_id: MembershipId,
    transaction_id: TransactionId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Original>> {
    let Some(entry) = sqlx::query!(
        r#"SELECT type AS entry_type, reference, abs(amount) AS "amount!",
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
    let entry_type: EntryType = decoded(entry.entry_type.parse())?;
    let (shares, expired) = match entry_type {
        EntryType::Earn => earned_in_tx(tx, membership_id, transaction_id, now).await?,
        _ => (used_in_tx(tx, transaction_id).await?, 0),
    };
    Ok(Some(Original {
        transaction_id,
        entry_type,
        reference: entry.reference,
        amount: decoded(Points::try_from(entry.amount))?,
        cancelled: decoded(Points::try_from(entry.cancelled))?,
        expired: decoded(Points::try_from(expired))?,
        shares,
    }))
}

/// The lots that a use has burnt, in that order.
async fn used_in_tx(tx: &mut PgConnection, transaction_id: TransactionId) -> sqlx::Result<Vec<Share>> {
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
    shares.into_iter().map(|row| share(row.lot_id, row.amount, row.returned, row.expires_at)).collect()
}

/// The lot that an earning made and those that replace it, and how many of their points have expired or do so now.
async fn earned_in_tx(
    tx: &mut PgConnection,
    membership_id: MembershipId,
    transaction_id: TransactionId,
    now: DateTime<Utc>,
) -> sqlx::Result<(Vec<Share>, i64)> {
    let lots = sqlx::query!(
        r#"WITH RECURSIVE own AS (
             SELECT lot_id FROM lot_movement WHERE entry_id = $1
             UNION ALL
             SELECT lot.lot_id FROM own JOIN lot ON lot.replaces = own.lot_id)
           SELECT lot_id AS "lot_id!", amount, expires_at,
                  CASE WHEN expires_at > $3 THEN 0 ELSE remaining - (
                    SELECT coalesce(sum(moved.amount), 0)::bigint
                    FROM ledger_entry e JOIN lot_movement moved ON moved.entry_id = e.entry_id AND moved.lot_id = lot.lot_id
                    WHERE e.membership_id = $2 AND e.entry_id > $1 AND e.type = 'EXPIRE') END AS "expired!"
           FROM own JOIN lot USING (lot_id) ORDER BY expires_at, lot_id"#,
        transaction_id,
        membership_id.0,
        now,
    )
    .fetch_all(tx)
    .await?;
    let expired = lots.iter().map(|lot| lot.expired).sum();
    let shares = lots.into_iter().map(|lot| share(lot.lot_id, lot.amount, 0, lot.expires_at));
    Ok((shares.collect::<sqlx::Result<_>>()?, expired))
}

fn share(lot_id: LotId, amount: i64, returned: i64, expires_at: DateTime<Utc>) -> sqlx::Result<Share> {
    let (amount, returned) = (decoded(Points::try_from(amount))?, decoded(Points::try_from(returned))?);
    Ok(Share { lot_id, amount, returned, expires_at })
}
