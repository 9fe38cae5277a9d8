//! Pages in Postgres. Each half takes only what is newer than what it has, so that the two topics may be read in
//! any interleaving, and any record twice, with the same row in the end.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared_events::event::NextExpiration;
use shared_events::{MemberId, MembershipId};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::{decoded, transactions};
use crate::domain::{MemberHalf, PointHalf, Shown, Transaction};

/// What a member sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whose page.
    pub member_id: i64,
    /// The phone number in digits. Personal data.
    pub phone_no: String,
    /// The nickname. Personal data.
    pub nickname: String,
    /// Where the member stands.
    pub member_status: String,
    /// The balance in points, 0 until known.
    pub remain_point: i64,
    /// How many points expire next.
    pub next_expiration_points: Option<i64>,
    /// When.
    pub next_expires_at: Option<DateTime<Utc>>,
    /// Which membership it is of.
    pub membership_id: Uuid,
}

/// Puts member halves on the pages where they are newer, by ascending memberId. Returns the versions that the pages had
/// before; none of those that were not there.
pub async fn put_members_in_tx(
    tx: &mut PgConnection,
    halves: &[(MemberId, &MemberHalf)],
) -> sqlx::Result<HashMap<MemberId, i64>> {
    if halves.is_empty() {
        return Ok(HashMap::new());
    }
    let shown: Vec<Option<&Shown>> = halves.iter().map(|(_, half)| half.shown.as_ref()).collect();
    let rows = sqlx::query!(
        "WITH former AS (SELECT member_id, member_version FROM page WHERE member_id = ANY ($1)),
         put AS (
             INSERT INTO page (member_id, member_membership_id, member_version, phone_no, nickname, member_status)
             SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[])
             ON CONFLICT (member_id) DO UPDATE
             SET member_membership_id = excluded.member_membership_id, member_version = excluded.member_version,
                 phone_no = excluded.phone_no, nickname = excluded.nickname, member_status = excluded.member_status
             WHERE page.member_version < excluded.member_version)
         SELECT member_id, member_version FROM former",
        &halves.iter().map(|(member_id, _)| member_id.get()).collect::<Vec<_>>(),
        &halves.iter().map(|(_, half)| half.membership_id.0).collect::<Vec<_>>(),
        &halves.iter().map(|(_, half)| half.version).collect::<Vec<_>>(),
        &shown.iter().map(|it| it.map(|it| it.phone_no.as_str())).collect::<Vec<_>>() as &[Option<&str>],
        &shown.iter().map(|it| it.map(|it| it.nickname.as_str())).collect::<Vec<_>>() as &[Option<&str>],
        &shown.iter().map(|it| it.map(|it| it.member_status.as_str())).collect::<Vec<_>>()
            as &[Option<&str>],
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(|row| Ok((decoded(row.member_id.try_into())?, row.member_version))).collect()
}

/// The point half that a page had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerPoints {
    /// The account's version; 0 where point had told nothing yet.
    pub version: i64,
    /// Which membership it was of.
    pub membership_id: Option<MembershipId>,
}

/// Puts point halves on the pages where they are newer, by ascending memberId. Returns what the pages had before; nothing
/// of those that were not there.
pub async fn put_points_in_tx(
    tx: &mut PgConnection,
    halves: &[(MemberId, &PointHalf)],
) -> sqlx::Result<HashMap<MemberId, FormerPoints>> {
    if halves.is_empty() {
        return Ok(HashMap::new());
    }
    let expirations: Vec<Option<NextExpiration>> =
        halves.iter().map(|(_, half)| half.next_expiration).collect();
    let rows = sqlx::query!(
        "WITH former AS (SELECT member_id, point_version, point_membership_id FROM page WHERE member_id = ANY ($1)),
         put AS (
             INSERT INTO page (member_id, point_membership_id, point_version, remain_point, next_expiration_points,
                               next_expires_at)
             SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[])
             ON CONFLICT (member_id) DO UPDATE
             SET point_membership_id = excluded.point_membership_id, point_version = excluded.point_version,
                 remain_point = excluded.remain_point, next_expiration_points = excluded.next_expiration_points,
                 next_expires_at = excluded.next_expires_at
             WHERE page.point_version < excluded.point_version)
         SELECT member_id, point_version, point_membership_id FROM former",
        &halves.iter().map(|(member_id, _)| member_id.get()).collect::<Vec<_>>(),
        &halves.iter().map(|(_, half)| half.membership_id.0).collect::<Vec<_>>(),
        &halves.iter().map(|(_, half)| half.version).collect::<Vec<_>>(),
        &halves.iter().map(|(_, half)| half.remain_point).collect::<Vec<_>>(),
        &expirations.iter().map(|next| next.map(|next| next.points)).collect::<Vec<_>>() as &[Option<i64>],
        &expirations.iter().map(|next| next.map(|next| next.expires_at)).collect::<Vec<_>>()
            as &[Option<DateTime<Utc>>],
    )
    .fetch_all(tx)
    .await?;
    let former = rows.into_iter().map(|row| {
        let membership_id = row.point_membership_id.map(MembershipId);
        Ok((decoded(row.member_id.try_into())?, FormerPoints { version: row.point_version, membership_id }))
    });
    former.collect()
}

/// The pages of these members, of those that have one.
pub async fn find(executor: impl PgExecutor<'_>, members: &[MemberId]) -> sqlx::Result<Vec<Page>> {
    sqlx::query_as!(
        Page,
        r#"SELECT member_id, phone_no AS "phone_no!", nickname AS "nickname!", member_status AS "member_status!",
                  CASE WHEN point_membership_id = member_membership_id THEN remain_point ELSE 0 END AS "remain_point!",
                  CASE WHEN point_membership_id = member_membership_id THEN next_expiration_points END
                      AS next_expiration_points,
                  CASE WHEN point_membership_id = member_membership_id THEN next_expires_at END AS next_expires_at,
                  member_membership_id AS "membership_id!"
           FROM page WHERE member_id = ANY ($1) AND phone_no IS NOT NULL"#,
        &members.iter().map(|member_id| member_id.get()).collect::<Vec<_>>()
    )
    .fetch_all(executor)
    .await
}

/// The pages of these members with their latest transactions, newest first.
pub async fn find_with_latest(
    pool: PgPool,
    members: Vec<MemberId>,
) -> sqlx::Result<HashMap<MemberId, (Page, Vec<Transaction>)>> {
    let mut connection = pool.acquire().await?;
    let pages = find(&mut *connection, &members).await?;
    let memberships: Vec<(i64, Uuid)> =
        pages.iter().map(|page| (page.member_id, page.membership_id)).collect();
    let mut latest = transactions::latest(&mut connection, &memberships).await?;
    let with_latest = |page: Page| {
        let latest = latest.remove(&page.member_id).unwrap_or_default();
        Ok((decoded(page.member_id.try_into())?, (page, latest)))
    };
    pages.into_iter().map(with_latest).collect()
}

/// Pages by ascending memberId: those behind `after`, skipping `offset` of them.
pub async fn list(
    executor: impl PgExecutor<'_>,
    after: i64,
    offset: i64,
    limit: i64,
) -> sqlx::Result<Vec<Page>> {
    sqlx::query_as!(
        Page,
        r#"SELECT member_id, phone_no AS "phone_no!", nickname AS "nickname!", member_status AS "member_status!",
                  CASE WHEN point_membership_id = member_membership_id THEN remain_point ELSE 0 END AS "remain_point!",
                  CASE WHEN point_membership_id = member_membership_id THEN next_expiration_points END
                      AS next_expiration_points,
                  CASE WHEN point_membership_id = member_membership_id THEN next_expires_at END AS next_expires_at,
                  member_membership_id AS "membership_id!"
           FROM page WHERE member_id > $1 AND phone_no IS NOT NULL ORDER BY member_id OFFSET $2 LIMIT $3"#,
        after,
        offset,
        limit
    )
    .fetch_all(executor)
    .await
}

/// How many pages there are.
pub async fn count(executor: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM page WHERE phone_no IS NOT NULL"#)
        .fetch_one(executor)
        .await
}
