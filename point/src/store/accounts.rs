//! Accounts in Postgres, without their lots: see [`lots`](super::lots).

use chrono::{DateTime, Utc};
use shared_events::event::MemberStatus;
use shared_events::{MemberId, MembershipId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::decoded;
use crate::domain::{Account, AccountState, LotId, Lots, Points};

pub(super) struct Row {
    pub(super) membership_id: Uuid,
    pub(super) member_id: i64,
    pub(super) member_status: Option<String>,
    pub(super) member_version: i64,
    pub(super) balance: i64,
    pub(super) version: i64,
    pub(super) signup_granted: bool,
    pub(super) forfeited: Option<i64>,
}

impl TryFrom<Row> for Account {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        let state = match (row.forfeited, row.member_status) {
            (Some(forfeited), _) => AccountState::Closed { forfeited: decoded(Points::try_from(forfeited))? },
            (None, Some(status)) => AccountState::Open {
                member_status: decoded(status.parse::<MemberStatus>())?,
                member_version: row.member_version,
                signup_granted: row.signup_granted,
            },
            (None, None) => return Err(sqlx::Error::Decode("an open account has no member status".into())),
        };
        Ok(Self {
            member_id: decoded(MemberId::try_from(row.member_id))?,
            membership_id: MembershipId(row.membership_id),
            balance: decoded(Points::try_from(row.balance))?,
            version: row.version,
            state,
            lots: Lots::default(),
        })
    }
}

/// The open account of a member.
pub async fn find_open(connection: &mut PgConnection, member_id: MemberId) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Row,
        "SELECT membership_id, member_id, member_status, member_version, balance, version, signup_granted, forfeited
         FROM account WHERE member_id = $1 AND closed_at IS NULL",
        member_id.get()
    )
    .fetch_optional(connection)
    .await?
    .map(Account::try_from)
    .transpose()
}

/// The open account of a member, locked until the transaction ends.
pub async fn lock_open_in_tx(tx: &mut PgConnection, member_id: MemberId) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Row,
        "SELECT membership_id, member_id, member_status, member_version, balance, version, signup_granted, forfeited
         FROM account WHERE member_id = $1 AND closed_at IS NULL FOR UPDATE",
        member_id.get()
    )
    .fetch_optional(tx)
    .await?
    .map(Account::try_from)
    .transpose()
}

/// The account of a membership, open or closed, locked until the transaction ends.
pub async fn lock_in_tx(
    tx: &mut PgConnection,
    member_id: MemberId,
    membership_id: MembershipId,
) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Row,
        "SELECT membership_id, member_id, member_status, member_version, balance, version, signup_granted, forfeited
         FROM account WHERE membership_id = $1 AND member_id = $2 FOR UPDATE",
        membership_id.0,
        member_id.get()
    )
    .fetch_optional(tx)
    .await?
    .map(Account::try_from)
    .transpose()
}

/// Whether nobody else is at this job at the moment; then nobody is until the transaction ends. Different jobs take turns:
/// as they skip what is locked, one would otherwise leave out what the other is at.
pub async fn try_lead_in_tx(tx: &mut PgConnection, job: &str) -> sqlx::Result<bool> {
    let is_ours = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtext($1)) AS "is_ours!""#, job)
        .fetch_one(&mut *tx)
        .await?;
    if is_ours {
        sqlx::query!(r#"SELECT pg_advisory_xact_lock(hashtext('point.job')) AS "locked: ()""#)
            .execute(tx)
            .await?;
    }
    Ok(is_ours)
}

/// Accounts that have lots which are no longer valid, locked until the transaction ends, and the last lot that was looked
/// at. Begins behind a lot, by expiry and id. Whoever holds a lock is left for the next time, so that nothing waits here.
pub async fn lock_due_in_tx(
    tx: &mut PgConnection,
    behind: (DateTime<Utc>, LotId),
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<(Vec<Account>, Option<(DateTime<Utc>, LotId)>)> {
    let due = sqlx::query!(
        "SELECT membership_id, expires_at, lot_id FROM lot
         WHERE remaining > 0 AND expires_at <= $1 AND (expires_at, lot_id) > ($2, $3)
         ORDER BY expires_at, lot_id LIMIT $4",
        now,
        behind.0,
        behind.1,
        limit,
    )
    .fetch_all(&mut *tx)
    .await?;
    let last = due.last().map(|lot| (lot.expires_at, lot.lot_id));
    let memberships: Vec<Uuid> = due.into_iter().map(|lot| lot.membership_id).collect();
    let accounts = sqlx::query_as!(
        Row,
        "SELECT membership_id, member_id, member_status, member_version, balance, version, signup_granted, forfeited
         FROM account WHERE membership_id = ANY ($1) FOR UPDATE SKIP LOCKED",
        &memberships,
    )
    .fetch_all(tx)
    .await?;
    Ok((accounts.into_iter().map(Account::try_from).collect::<sqlx::Result<_>>()?, last))
}

/// Stores a new account.
pub async fn insert_in_tx(tx: &mut PgConnection, account: &Account, now: DateTime<Utc>) -> sqlx::Result<()> {
    let row = Columns::of(account);
    sqlx::query!(
        "INSERT INTO account (membership_id, member_id, member_status, member_version, balance, version,
                              signup_granted, opened_at, closed_at, forfeited)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8::timestamptz, CASE WHEN $9::bigint IS NULL THEN NULL ELSE $8::timestamptz END, $9)",
        account.membership_id.0,
        account.member_id.get(),
        row.member_status,
        row.member_version.unwrap_or(0),
        account.balance.get(),
        account.version,
        row.signup_granted.unwrap_or(false),
        now,
        row.forfeited,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores what changed in an account that is locked, where its balance did not.
pub async fn update_in_tx(tx: &mut PgConnection, account: &Account, now: DateTime<Utc>) -> sqlx::Result<()> {
    let row = Columns::of(account);
    sqlx::query!(
        "UPDATE account
         SET balance = $2, version = $3, member_status = coalesce($4, member_status),
             member_version = coalesce($5, member_version), signup_granted = coalesce($6, signup_granted),
             forfeited = $7, closed_at = CASE WHEN $7::bigint IS NULL THEN NULL ELSE coalesce(closed_at, $8::timestamptz) END
         WHERE membership_id = $1",
        account.membership_id.0,
        account.balance.get(),
        account.version,
        row.member_status,
        row.member_version,
        row.signup_granted,
        row.forfeited,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The columns that depend on the state; `None` keeps what is stored.
pub(super) struct Columns {
    pub(super) member_status: Option<&'static str>,
    pub(super) member_version: Option<i64>,
    pub(super) signup_granted: Option<bool>,
    pub(super) forfeited: Option<i64>,
}

impl Columns {
    pub(super) fn of(account: &Account) -> Self {
        match account.state {
            AccountState::Open { member_status, member_version, signup_granted } => Self {
                member_status: Some(member_status.as_str()),
                member_version: Some(member_version),
                signup_granted: Some(signup_granted),
                forfeited: None,
            },
            AccountState::Closed { forfeited } => Self {
                member_status: None,
                member_version: None,
                signup_granted: None,
                forfeited: Some(forfeited.get()),
            },
        }
    }
}
