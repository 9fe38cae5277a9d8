//! Accounts in Postgres, without their lots: see [`lots`](super::lots).

use std::collections::{BTreeSet, HashMap, HashSet};

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

/// The open accounts of members that nobody else has locked, locked until the transaction ends.
pub async fn lock_free_in_tx(
    tx: &mut PgConnection,
    members: &HashSet<MemberId>,
) -> sqlx::Result<Vec<Account>> {
    let free = sqlx::query_as!(
        Row,
        "SELECT membership_id, member_id, member_status, member_version, balance, version, signup_granted, forfeited
         FROM account WHERE member_id = ANY ($1) AND closed_at IS NULL FOR UPDATE SKIP LOCKED",
        &members.iter().map(|member_id| member_id.get()).collect::<Vec<_>>()
    )
    .fetch_all(tx)
    .await?;
    free.into_iter().map(Account::try_from).collect()
}

/// Which of these members have an open account.
pub async fn with_open_in_tx(
    tx: &mut PgConnection,
    members: &HashSet<MemberId>,
) -> sqlx::Result<Vec<MemberId>> {
    let open = sqlx::query_scalar!(
        "SELECT member_id FROM account WHERE member_id = ANY ($1) AND closed_at IS NULL",
        &members.iter().map(|member_id| member_id.get()).collect::<Vec<_>>()
    )
    .fetch_all(tx)
    .await?;
    open.into_iter().map(|member_id| decoded(MemberId::try_from(member_id))).collect()
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

/// The accounts of memberships, open or closed, and the open ones of members, locked until the transaction ends, in the
/// order of memberIds. The holders are locked before, so that none is opened or closed meanwhile; other former accounts are
/// left alone.
pub async fn lock_all_in_tx(
    tx: &mut PgConnection,
    members: &BTreeSet<MemberId>,
    memberships: &[MembershipId],
) -> sqlx::Result<Vec<Account>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT membership_id, member_id, member_status, member_version, balance, version, signup_granted, forfeited
         FROM account
         WHERE membership_id = ANY (
             $2::uuid[] || ARRAY(SELECT membership_id FROM account WHERE member_id = ANY ($1) AND closed_at IS NULL))
         ORDER BY member_id, membership_id FOR UPDATE",
        &members.iter().map(|member_id| member_id.get()).collect::<Vec<_>>(),
        &memberships.iter().map(|membership_id| membership_id.0).collect::<Vec<_>>(),
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(Account::try_from).collect()
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

/// Accounts that have lots which are no longer valid.
#[derive(Debug)]
pub struct Due {
    /// The accounts, locked until the transaction ends, and how many such lots were found of each. It may have more.
    pub accounts: Vec<(Account, i64)>,
    /// The last lot that was found.
    pub last: Option<(DateTime<Utc>, LotId)>,
}

/// Locks the accounts of the next so many lots that are no longer valid. Begins behind a lot, by expiry and id. An account that
/// somebody else has locked is left for the next time, so that nothing waits here.
pub async fn lock_due_in_tx(
    tx: &mut PgConnection,
    behind: (DateTime<Utc>, LotId),
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Due> {
    let lots = sqlx::query!(
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
    let last = lots.last().map(|lot| (lot.expires_at, lot.lot_id));
    let mut found: HashMap<MembershipId, i64> = HashMap::new();
    for lot in lots {
        *found.entry(MembershipId(lot.membership_id)).or_default() += 1;
    }
    let memberships: Vec<Uuid> = found.keys().map(|membership_id| membership_id.0).collect();
    let accounts = sqlx::query_as!(
        Row,
        "SELECT membership_id, member_id, member_status, member_version, balance, version, signup_granted, forfeited
         FROM account WHERE membership_id = ANY ($1) FOR UPDATE SKIP LOCKED",
        &memberships,
    )
    .fetch_all(tx)
    .await?;
    let with_found = |row| {
        let account = Account::try_from(row)?;
        let found = found.get(&account.membership_id).copied().unwrap_or_default();
        Ok((account, found))
    };
    let accounts = accounts.into_iter().map(with_found).collect::<sqlx::Result<_>>()?;
    Ok(Due { accounts, last })
}

/// Stores new accounts, each with the time of its opening.
pub async fn insert_all_in_tx(
    tx: &mut PgConnection,
    accounts: &[(Account, DateTime<Utc>)],
) -> sqlx::Result<()> {
    let rows: Vec<Columns> = accounts.iter().map(|(account, now)| Columns::of(account, *now)).collect();
    sqlx::query!(
        "INSERT INTO account (membership_id, member_id, member_status, member_version, balance, version,
                              signup_granted, opened_at, closed_at, forfeited)
         SELECT membership_id, member_id, member_status, member_version, balance, version, signup_granted, at,
                CASE WHEN forfeited IS NOT NULL THEN at END, forfeited
         FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[],
                     $8::timestamptz[], $9::bigint[])
              AS new (membership_id, member_id, member_status, member_version, balance, version, signup_granted, at,
                      forfeited)",
        &rows.iter().map(|row| row.membership_id.0).collect::<Vec<_>>(),
        &accounts.iter().map(|(account, _)| account.member_id.get()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.member_status).collect::<Vec<_>>() as &[Option<&str>],
        &rows.iter().map(|row| row.member_version.unwrap_or(0)).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.balance).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.version).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.signup_granted.unwrap_or(false)).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.now).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.forfeited).collect::<Vec<_>>() as &[Option<i64>],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What is stored of an account besides its lots.
#[derive(Clone, Debug)]
pub struct Columns {
    pub(super) membership_id: MembershipId,
    pub(super) balance: i64,
    pub(super) version: i64,
    // Where `None`, what is stored is kept.
    pub(super) member_status: Option<&'static str>,
    pub(super) member_version: Option<i64>,
    pub(super) signup_granted: Option<bool>,
    // Where not `None`, the account is closed from `now` on, unless it was.
    pub(super) forfeited: Option<i64>,
    pub(super) now: DateTime<Utc>,
}

impl Columns {
    /// Of an account that changed at a time.
    #[must_use]
    pub fn of(account: &Account, now: DateTime<Utc>) -> Self {
        let Account { membership_id, version, .. } = *account;
        let balance = account.balance.get();
        let (member_status, member_version, signup_granted, forfeited) = match account.state {
            AccountState::Open { member_status, member_version, signup_granted } => {
                (Some(member_status.as_str()), Some(member_version), Some(signup_granted), None)
            }
            AccountState::Closed { forfeited } => (None, None, None, Some(forfeited.get())),
        };
        Self {
            membership_id,
            balance,
            version,
            member_status,
            member_version,
            signup_granted,
            forfeited,
            now,
        }
    }
}
