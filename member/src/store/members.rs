//! Members in Postgres.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared_events::{MemberId, MembershipId};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use crate::domain::Member;

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

fn decoded<T, E: std::error::Error + Send + Sync + 'static>(result: Result<T, E>) -> sqlx::Result<T> {
    result.map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Why a member could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The memberId is taken.
    #[error("the memberId is taken")]
    MemberIdTaken,
    /// The phone number belongs to a READY or NORMAL member.
    #[error("the phone number is taken")]
    PhoneTaken,
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("member_pkey") => Self::MemberIdTaken,
            Some("member_phone_no_key") => Self::PhoneTaken,
            Some(_) | None => Self::Database(error),
        }
    }
}

/// Stores a new member. Waits for a withdrawal of the same memberId that is about to commit.
pub async fn insert_in_tx(tx: &mut PgConnection, member: &Member) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO member (member_id, membership_id, phone_no, nickname, status, version, joined_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        member.member_id.get(),
        member.membership_id.0,
        member.phone_no.as_str(),
        member.nickname.as_str(),
        member.status.as_str(),
        member.version,
        member.joined_at,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores the status and version of members that are locked, each of them once. An ABNORMAL member that becomes NORMAL
/// may find that the phone number is taken; then none is stored.
pub async fn update_all_in_tx(tx: &mut PgConnection, members: &[Member]) -> Result<(), StoreError> {
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

/// Removes a member. Returns its last version, or `None` when somebody else removed it first.
pub async fn delete_in_tx(tx: &mut PgConnection, membership_id: MembershipId) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("DELETE FROM member WHERE membership_id = $1 RETURNING version", membership_id.0)
        .fetch_optional(tx)
        .await
}

/// A member by id.
pub async fn find(executor: impl PgExecutor<'_>, member_id: MemberId) -> sqlx::Result<Option<Member>> {
    sqlx::query_as!(
        Row,
        "SELECT member_id, membership_id, phone_no, nickname, status, version, joined_at
         FROM member WHERE member_id = $1",
        member_id.get()
    )
    .fetch_optional(executor)
    .await?
    .map(Member::try_from)
    .transpose()
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

/// The next generated id that nobody chose.
pub async fn next_free_id_in_tx(tx: &mut PgConnection) -> sqlx::Result<MemberId> {
    loop {
        let candidate = sqlx::query!(
            r#"SELECT id AS "id!", EXISTS (SELECT FROM member WHERE member_id = id) AS "taken!"
               FROM nextval('member_id_seq') AS id"#
        )
        .fetch_one(&mut *tx)
        .await?;
        if !candidate.taken {
            return decoded(MemberId::try_from(candidate.id));
        }
    }
}
