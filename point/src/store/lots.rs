//! Lots in Postgres.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared_events::MemberId;
use shared_events::event::NextExpiration;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::{accounts, decoded};
use crate::domain::{Account, Lot, Lots, Points};

struct Row {
    lot_id: i64,
    remaining: i64,
    expires_at: DateTime<Utc>,
}

/// The lots of an account that have points left.
pub async fn open(executor: impl PgExecutor<'_>, account: &Account) -> sqlx::Result<Lots> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT lot_id, remaining, expires_at FROM lot WHERE membership_id = $1 AND remaining > 0",
        account.membership_id.0
    )
    .fetch_all(executor)
    .await?;
    collect(rows.into_iter())
}

/// Reads the lots of an account that is locked: in a statement of its own, after the lock, so that it sees what was
/// committed before. Books that do not fit are not written on.
pub async fn load_in_tx(tx: &mut PgConnection, account: &mut Account) -> sqlx::Result<()> {
    account.lots = open(tx, account).await?;
    check(account, account.lots.total()).map_err(|broken| sqlx::Error::Decode(broken.into()))
}

/// The books of an account do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lots of member {member_id} have {lots} points, the balance is {balance}")]
pub struct BrokenBooks {
    /// Whose they are.
    pub member_id: MemberId,
    lots: i64,
    balance: Points,
}

/// Reads the lots of accounts that are locked, in one statement, as [`load_in_tx`] does.
pub async fn load_all_in_tx(
    tx: &mut PgConnection,
    accounts: Vec<Account>,
) -> sqlx::Result<Vec<Result<Account, BrokenBooks>>> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let memberships: Vec<Uuid> = accounts.iter().map(|account| account.membership_id.0).collect();
    let rows = sqlx::query!(
        "SELECT membership_id, lot_id, remaining, expires_at FROM lot
         WHERE membership_id = ANY ($1) AND remaining > 0",
        &memberships
    )
    .fetch_all(tx)
    .await?;
    let mut lots: HashMap<Uuid, Vec<Row>> = HashMap::new();
    for row in rows {
        let lot = Row { lot_id: row.lot_id, remaining: row.remaining, expires_at: row.expires_at };
        lots.entry(row.membership_id).or_default().push(lot);
    }
    let with_lots = |mut account: Account| {
        let own = lots.remove(&account.membership_id.0).unwrap_or_default();
        account.lots = collect(own.into_iter())?;
        Ok(check(&account, account.lots.total()).map(|()| account))
    };
    accounts.into_iter().map(with_lots).collect()
}

/// Lots of an account that are no longer valid.
#[derive(Debug)]
pub struct LotsDue {
    /// The account, of whose lots it has these alone.
    pub account: Account,
    /// What expires next of those that are still valid.
    pub next_expiration: Option<NextExpiration>,
}

/// Reads the lots that are no longer valid of accounts that are locked: of each account so many at most, those that were due
/// first. The others are only added up. Books that do not fit are not written on.
pub async fn load_due_in_tx(
    tx: &mut PgConnection,
    accounts: Vec<(Account, i64)>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Result<LotsDue, BrokenBooks>>> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"SELECT membership_id AS "membership_id!", open.points AS "points!", due.lot_ids AS "lot_ids!", due.remaining AS "remaining!",
                  due.expires_at AS "expires_at!", next.expires_at AS "next_expires_at?", next.points AS "next_points?"
           FROM unnest($1::uuid[], $2::bigint[]) AS account (membership_id, most)
           CROSS JOIN LATERAL (
             SELECT coalesce(sum(remaining), 0)::bigint AS points FROM lot
             WHERE lot.membership_id = account.membership_id AND remaining > 0) AS open
           CROSS JOIN LATERAL (
             SELECT coalesce(array_agg(lot_id), '{}') AS lot_ids, coalesce(array_agg(remaining), '{}') AS remaining,
                    coalesce(array_agg(expires_at), '{}') AS expires_at
             FROM (SELECT lot_id, remaining, expires_at FROM lot
                   WHERE lot.membership_id = account.membership_id AND remaining > 0 AND expires_at <= $3
                   ORDER BY expires_at, lot_id LIMIT account.most) AS first) AS due
           LEFT JOIN LATERAL (
             SELECT expires_at, sum(remaining)::bigint AS points FROM lot
             WHERE lot.membership_id = account.membership_id AND remaining > 0 AND expires_at > $3
             GROUP BY expires_at ORDER BY expires_at LIMIT 1) AS next ON true"#,
        &accounts.iter().map(|(account, _)| account.membership_id.0).collect::<Vec<_>>(),
        &accounts.iter().map(|(_, most)| *most).collect::<Vec<_>>(),
        now,
    )
    .fetch_all(tx)
    .await?;
    let mut found: HashMap<Uuid, _> = rows.into_iter().map(|row| (row.membership_id, row)).collect();
    let with_due = |(mut account, _): (Account, i64)| {
        let row = found.remove(&account.membership_id.0).ok_or(sqlx::Error::RowNotFound)?;
        account.lots = collect_arrays(row.lot_ids, row.remaining, row.expires_at)?;
        let next = row.next_expires_at.zip(row.next_points);
        let next_expiration = next.map(|(expires_at, points)| NextExpiration { points, expires_at });
        Ok(check(&account, row.points).map(|()| LotsDue { account, next_expiration }))
    };
    accounts.into_iter().map(with_due).collect()
}

/// Whether the lots have as many points as the balance.
fn check(account: &Account, lots: i64) -> Result<(), BrokenBooks> {
    let Account { member_id, balance, .. } = *account;
    if lots == balance.get() { Ok(()) } else { Err(BrokenBooks { member_id, lots, balance }) }
}

/// The open accounts of these members with their lots, as they were at one moment.
pub async fn find_accounts(pool: PgPool, members: Vec<MemberId>) -> sqlx::Result<HashMap<MemberId, Account>> {
    // One statement has one snapshot. The rows of the lots come in the same order each time.
    let rows = sqlx::query!(
        r#"SELECT membership_id, member_id, member_status, member_version, balance, version, signup_granted, forfeited,
                  ARRAY(SELECT lot_id FROM lot WHERE lot.membership_id = account.membership_id AND remaining > 0
                        ORDER BY lot_id) AS "lot_ids!",
                  ARRAY(SELECT remaining FROM lot WHERE lot.membership_id = account.membership_id AND remaining > 0
                        ORDER BY lot_id) AS "remaining!",
                  ARRAY(SELECT expires_at FROM lot WHERE lot.membership_id = account.membership_id AND remaining > 0
                        ORDER BY lot_id) AS "expires_at!"
           FROM account WHERE member_id = ANY ($1) AND closed_at IS NULL"#,
        &members.iter().map(|member_id| member_id.get()).collect::<Vec<_>>()
    )
    .fetch_all(&pool)
    .await?;
    let with_lots = rows.into_iter().map(|row| {
        let mut account = Account::try_from(accounts::Row {
            membership_id: row.membership_id,
            member_id: row.member_id,
            member_status: row.member_status,
            member_version: row.member_version,
            balance: row.balance,
            version: row.version,
            signup_granted: row.signup_granted,
            forfeited: row.forfeited,
        })?;
        account.lots = collect_arrays(row.lot_ids, row.remaining, row.expires_at)?;
        Ok((account.member_id, account))
    });
    with_lots.collect()
}

fn collect_arrays(
    lot_ids: Vec<i64>,
    remaining: Vec<i64>,
    expires_at: Vec<DateTime<Utc>>,
) -> sqlx::Result<Lots> {
    let lots = lot_ids.into_iter().zip(remaining).zip(expires_at);
    collect(lots.map(|((lot_id, remaining), expires_at)| Row { lot_id, remaining, expires_at }))
}

fn collect(rows: impl Iterator<Item = Row>) -> sqlx::Result<Lots> {
    let lot = |row: Row| {
        let remaining = decoded(Points::try_from(row.remaining))?;
        Ok(Lot { lot_id: row.lot_id, remaining, expires_at: row.expires_at })
    };
    Ok(Lots::new(rows.map(lot).collect::<sqlx::Result<_>>()?))
}
