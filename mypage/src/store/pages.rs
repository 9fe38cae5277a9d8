//! Pages in Postgres. Each half takes only what is newer than what it has, so that the two topics may be read in
//! any interleaving, and any record twice, with the same row in the end.

use chrono::{DateTime, Utc};
use shared_events::event::{MemberState, NextExpiration};
use shared_events::{MemberId, MembershipId};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

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

/// Puts the state of a member on the page. Says whether it was newer.
pub async fn put_member_in_tx(
    tx: &mut PgConnection,
    member: &MemberState,
    version: i64,
) -> sqlx::Result<bool> {
    let put = sqlx::query!(
        "INSERT INTO page (member_id, member_membership_id, member_version, phone_no, nickname, member_status)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (member_id) DO UPDATE
         SET member_membership_id = excluded.member_membership_id, member_version = excluded.member_version,
             phone_no = excluded.phone_no, nickname = excluded.nickname, member_status = excluded.member_status
         WHERE page.member_version < excluded.member_version",
        member.member_id.get(),
        member.membership_id.0,
        version,
        member.phone_no,
        member.nickname,
        member.member_status.as_str(),
    )
    .execute(tx)
    .await?;
    Ok(put.rows_affected() == 1)
}

/// Takes a withdrawn member off the page and keeps the version. Says whether it was newer.
pub async fn remove_member_in_tx(
    tx: &mut PgConnection,
    member_id: MemberId,
    membership_id: MembershipId,
    version: i64,
) -> sqlx::Result<bool> {
    let removed = sqlx::query!(
        "INSERT INTO page (member_id, member_membership_id, member_version) VALUES ($1, $2, $3)
         ON CONFLICT (member_id) DO UPDATE
         SET member_membership_id = excluded.member_membership_id, member_version = excluded.member_version,
             phone_no = NULL, nickname = NULL, member_status = NULL
         WHERE page.member_version < excluded.member_version",
        member_id.get(),
        membership_id.0,
        version,
    )
    .execute(tx)
    .await?;
    Ok(removed.rows_affected() == 1)
}

/// Puts a balance, and what of it expires next, on the page. Says whether it was newer.
pub async fn put_balance_in_tx(
    tx: &mut PgConnection,
    member_id: MemberId,
    membership_id: MembershipId,
    remain_point: i64,
    next_expiration: Option<NextExpiration>,
    version: i64,
) -> sqlx::Result<bool> {
    let put = sqlx::query!(
        "INSERT INTO page (member_id, point_membership_id, point_version, remain_point, next_expiration_points,
                           next_expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (member_id) DO UPDATE
         SET point_membership_id = excluded.point_membership_id, point_version = excluded.point_version,
             remain_point = excluded.remain_point, next_expiration_points = excluded.next_expiration_points,
             next_expires_at = excluded.next_expires_at
         WHERE page.point_version < excluded.point_version",
        member_id.get(),
        membership_id.0,
        version,
        remain_point,
        next_expiration.map(|next| next.points),
        next_expiration.map(|next| next.expires_at),
    )
    .execute(tx)
    .await?;
    Ok(put.rows_affected() == 1)
}

/// The page of a member.
pub async fn find(executor: impl PgExecutor<'_>, member_id: MemberId) -> sqlx::Result<Option<Page>> {
    sqlx::query_as!(
        Page,
        r#"SELECT member_id, phone_no AS "phone_no!", nickname AS "nickname!", member_status AS "member_status!",
                  CASE WHEN point_membership_id = member_membership_id THEN remain_point ELSE 0 END AS "remain_point!",
                  CASE WHEN point_membership_id = member_membership_id THEN next_expiration_points END
                      AS next_expiration_points,
                  CASE WHEN point_membership_id = member_membership_id THEN next_expires_at END AS next_expires_at,
                  member_membership_id AS "membership_id!"
           FROM page WHERE member_id = $1 AND phone_no IS NOT NULL"#,
        member_id.get()
    )
    .fetch_optional(executor)
    .await
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
