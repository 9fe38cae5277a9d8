//! Which members were told of which expiry.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{LotId, NoticeStage};

/// An expiry that a member is to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose account.
    pub member_id: i64,
    /// Which membership.
    pub membership_id: Uuid,
    /// The version of the account.
    pub version: i64,
    /// The balance.
    pub balance: i64,
    /// How many points expire on one day.
    pub points: i64,
    /// When the first of them do.
    pub expires_at: DateTime<Utc>,
    /// What expires next: how many points.
    pub next_points: i64,
    /// And when.
    pub next_expires_at: DateTime<Utc>,
}

/// Notes that some members are told of what expires at a stage, and returns what, each once, and the last lot that was
/// looked at. What expires on the same day in Seoul is told of together, when the first of it is due. Begins behind a lot,
/// by expiry and id. Their accounts are locked until the transaction ends; those that somebody else holds are left for the
/// next time.
pub async fn take_due_in_tx(
    tx: &mut PgConnection,
    stage: NoticeStage,
    behind: (DateTime<Utc>, LotId),
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<(Vec<Due>, Option<(DateTime<Utc>, LotId)>)> {
    let (after, until) = stage.window(now);
    let lots = sqlx::query!(
        "SELECT membership_id, expires_at, lot_id FROM lot
         WHERE remaining > 0 AND expires_at > $1 AND expires_at <= $2 AND (expires_at, lot_id) > ($3, $4)
         ORDER BY expires_at, lot_id LIMIT $5",
        after,
        until,
        behind.0,
        behind.1,
        limit,
    )
    .fetch_all(&mut *tx)
    .await?;
    let last = lots.last().map(|lot| (lot.expires_at, lot.lot_id));
    let memberships: Vec<Uuid> = lots.into_iter().map(|lot| lot.membership_id).collect();
    let locked = sqlx::query_scalar!(
        "SELECT membership_id FROM account
         WHERE membership_id = ANY ($1) AND member_status = 'NORMAL' FOR UPDATE SKIP LOCKED",
        &memberships,
    )
    .fetch_all(&mut *tx)
    .await?;
    // In a statement of its own, after the locks, so that it sees what was committed before.
    let due = sqlx::query_as!(
        Due,
        r#"WITH due AS (
             SELECT membership_id, date_trunc('day', expires_at - interval '1 microsecond', 'Asia/Seoul') AS day,
                    min(expires_at) AS expires_at, sum(remaining)::bigint AS points
             FROM lot WHERE membership_id = ANY ($1) AND remaining > 0 AND expires_at > $5
             GROUP BY membership_id, day
             HAVING bool_or(expires_at > $2 AND expires_at <= $3)),
         noted AS (
             INSERT INTO expiry_notice (membership_id, expires_at, stage, noticed_at)
             SELECT membership_id, day + interval '24 hours', $4, $5 FROM due ON CONFLICT DO NOTHING
             RETURNING membership_id, expires_at - interval '24 hours' AS day)
         SELECT member_id, membership_id, version, balance, due.points AS "points!", due.expires_at AS "expires_at!",
                next.points AS "next_points!", next.expires_at AS "next_expires_at!"
         FROM noted JOIN due USING (membership_id, day) JOIN account USING (membership_id),
              LATERAL (SELECT expires_at, sum(remaining)::bigint AS points FROM lot
                       WHERE lot.membership_id = account.membership_id AND remaining > 0 AND expires_at > $5
                       GROUP BY expires_at ORDER BY expires_at LIMIT 1) AS next
         ORDER BY member_id, due.expires_at"#,
        &locked,
        after,
        until,
        stage.as_str(),
        now,
    )
    .fetch_all(tx)
    .await?;
    Ok((due, last))
}
