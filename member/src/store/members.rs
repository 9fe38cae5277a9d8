//! Members in Postgres.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use shared_events::{MemberId, MembershipId};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::decoded;
use crate::domain::{Member, PhoneNo};

struct Row {
    member_id: i64,
    membership_id: Uuid,
    phone_no: String,
    nickname: String,
    status: String,
    version: i64,
    joined_at: DateTime<Utc>,
}

impl TryFrom<Row> for Member {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            member_id: decoded(MemberId::try_from(row.member_id))?,
            membership_id: MembershipId(row.membership_id),
            phone_no: decoded(row.phone_no.parse())?,
            nickname: decoded(row.nickname.parse())?,
            status: decoded(row.status.parse())?,
            version: row.version,
            joined_at: row.joined_at,
        })
    }
}

/// Why a member could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The phone number belongs to a READY or NORMAL member.
    #[error("the phone number is taken")]
    PhoneTaken(#[source] sqlx::Error),
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("member_phone_no_key") => Self::PhoneTaken(error),
            Some(_) | None => Self::Database(error),
        }
    }
}

impl From<StoreError> for sqlx::Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::PhoneTaken(error) | StoreError::Database(error) => error,
        }
    }
}

/// Stores those new members whose memberId and phone number are free, and returns their memberships. Waits for a withdrawal of
/// the same memberId that is about to commit. Those who want the same phone numbers never wait for each other in a circle.
pub async fn insert_all_in_tx(
    tx: &mut PgConnection,
    members: &[Member],
) -> sqlx::Result<HashSet<MembershipId>> {
    if members.is_empty() {
        return Ok(HashSet::new());
    }
    let stored = sqlx::query_scalar!(
        "INSERT INTO member (member_id, membership_id, phone_no, nickname, status, version, joined_at)
         SELECT member_id, membership_id, phone_no, nickname, status, version, joined_at
         FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[])
              WITH ORDINALITY
              AS new (member_id, membership_id, phone_no, nickname, status, version, joined_at, number)
         ORDER BY phone_no, number
         ON CONFLICT DO NOTHING
         RETURNING membership_id",
        &members.iter().map(|member| member.member_id.get()).collect::<Vec<_>>(),
        &members.iter().map(|member| member.membership_id.0).collect::<Vec<_>>(),
        &members.iter().map(|member| member.phone_no.as_str()).collect::<Vec<_>>() as &[&str],
        &members.iter().map(|member| member.nickname.as_str()).collect::<Vec<_>>() as &[&str],
        &members.iter().map(|member| member.status.as_str()).collect::<Vec<_>>() as &[&str],
        &members.iter().map(|member| member.version).collect::<Vec<_>>(),
        &members.iter().map(|member| member.joined_at).collect::<Vec<_>>(),
    )
    .fetch_all(tx)
    .await?;
    Ok(stored.into_iter().map(MembershipId).collect())
}

/// Which of these memberIds somebody has.
pub async fn taken_ids_in_tx(
    tx: &mut PgConnection,
    member_ids: &[MemberId],
) -> sqlx::Result<HashSet<MemberId>> {
    let taken = sqlx::query_scalar!(
        "SELECT member_id FROM member WHERE member_id = ANY ($1)",
        &member_ids.iter().map(|member_id| member_id.get()).collect::<Vec<_>>()
    )
    .fetch_all(tx)
    .await?;
    taken.into_iter().map(|member_id| decoded(MemberId::try_from(member_id))).collect()
}

/// Which of these phone numbers a READY or NORMAL member has.
pub async fn taken_phone_nos_in_tx(
    tx: &mut PgConnection,
    phone_nos: &[&PhoneNo],
) -> sqlx::Result<HashSet<PhoneNo>> {
    let taken = sqlx::query_scalar!(
        "SELECT phone_no FROM member WHERE phone_no = ANY ($1) AND status IN ('READY', 'NORMAL')",
        &phone_nos.iter().map(|phone_no| phone_no.as_str()).collect::<Vec<_>>() as &[&str]
    )
    .fetch_all(tx)
    .await?;
    taken.into_iter().map(|phone_no| decoded(phone_no.parse())).collect()
}

/// Stores the status and version of members that are locked, each of them once. An ABNORMAL member that becomes NORMAL
/// may find that the phone number is taken; then none is stored.
pub async fn update_all_in_tx(tx: &mut PgConnection, members: &[Member]) -> Result<(), StoreError> {
    if members.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE member SET status = new.status, version = new.version
         FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS new (membership_id, status, version)
         WHERE member.membership_id = new.membership_id",
        &members.iter().map(|member| member.membership_id.0).collect::<Vec<_>>(),
        &members.iter().map(|member| member.status.as_str()).collect::<Vec<_>>() as &[&str],
        &members.iter().map(|member| member.version).collect::<Vec<_>>(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The members of those memberships that have not ended, locked until the transaction ends. The locks are taken by
/// ascending membershipId: who takes several never waits for another in a circle.
pub async fn lock_memberships_in_tx(
    tx: &mut PgConnection,
    membership_ids: &[MembershipId],
) -> sqlx::Result<HashMap<MembershipId, Member>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT member_id, membership_id, phone_no, nickname, status, version, joined_at
         FROM member WHERE membership_id = ANY ($1) ORDER BY membership_id FOR UPDATE",
        &membership_ids.iter().map(|membership_id| membership_id.0).collect::<Vec<_>>(),
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(|row| Ok((MembershipId(row.membership_id), row.try_into()?))).collect()
}

/// Removes members, as many as are there, and returns their last versions. The locks are taken by ascending membershipId.
pub async fn delete_all_in_tx(
    tx: &mut PgConnection,
    membership_ids: &[MembershipId],
) -> sqlx::Result<HashMap<MembershipId, i64>> {
    if membership_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        "WITH leaving AS MATERIALIZED (
             SELECT membership_id FROM member WHERE membership_id = ANY ($1) ORDER BY membership_id FOR UPDATE)
         DELETE FROM member USING leaving WHERE member.membership_id = leaving.membership_id
         RETURNING member.membership_id, version",
        &membership_ids.iter().map(|membership_id| membership_id.0).collect::<Vec<_>>(),
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (MembershipId(row.membership_id), row.version)).collect())
}

/// Those of these members who are there.
pub async fn find_all(pool: PgPool, members: Vec<MemberId>) -> sqlx::Result<HashMap<MemberId, Member>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT member_id, membership_id, phone_no, nickname, status, version, joined_at
         FROM member WHERE member_id = ANY ($1)",
        &members.iter().map(|member_id| member_id.get()).collect::<Vec<_>>()
    )
    .fetch_all(&pool)
    .await?;
    let members = rows.into_iter().map(Member::try_from);
    members.map(|member| member.map(|member| (member.member_id, member))).collect()
}

/// Members by ascending id: those behind `after`, skipping `offset` of them.
pub async fn list(
    executor: impl PgExecutor<'_>,
    after: i64,
    offset: i64,
    limit: i64,
) -> sqlx::Result<Vec<Member>> {
    sqlx::query_as!(
        Row,
        "SELECT member_id, membership_id, phone_no, nickname, status, version, joined_at
         FROM member WHERE member_id > $1 ORDER BY member_id OFFSET $2 LIMIT $3",
        after,
        offset,
        limit
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(Member::try_from)
    .collect()
}

/// How many members there are.
pub async fn count(executor: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM member"#).fetch_one(executor).await
}

/// Members who had withdrawn before `before` and have rejoined, and are due to be published again, locked until the
/// transaction ends. They count as published again once it commits.
pub async fn take_rejoined_in_tx(
    tx: &mut PgConnection,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Member>> {
    // Whoever holds a lock is left for the next time: waiting here for a withdrawal that waits here is a deadlock.
    sqlx::query_as!(
        Row,
        "WITH due AS (
             SELECT member.* FROM member JOIN tombstone USING (member_id)
             WHERE republished_at IS NULL AND rejoined AND withdrawn_at < $1
             ORDER BY withdrawn_at LIMIT $3 FOR UPDATE SKIP LOCKED),
         marked AS (
             UPDATE tombstone SET republished_at = $2 FROM due WHERE tombstone.member_id = due.member_id)
         SELECT member_id, membership_id, phone_no, nickname, status, version, joined_at FROM due",
        before,
        now,
        limit
    )
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(Member::try_from)
    .collect()
}

/// The next generated ids that nobody chose, so many.
pub async fn next_free_ids_in_tx(tx: &mut PgConnection, count: usize) -> sqlx::Result<Vec<MemberId>> {
    let mut free = Vec::with_capacity(count);
    while free.len() < count {
        let missing = i64::try_from(count - free.len()).unwrap_or(i64::MAX);
        // Each id is looked up by itself: a join would read the whole index for a handful of ids.
        let ids = sqlx::query_scalar!(
            r#"WITH next AS MATERIALIZED (SELECT nextval('member_id_seq') AS id FROM generate_series(1, $1::bigint))
               SELECT id AS "id!" FROM next WHERE (SELECT member_id FROM member WHERE member_id = id) IS NULL"#,
            missing
        )
        .fetch_all(&mut *tx)
        .await?;
        for id in ids {
            free.push(decoded(MemberId::try_from(id))?);
        }
    }
    Ok(free)
}
