//! What is left of withdrawn members.

use chrono::{DateTime, Utc};
use shared_events::{MemberId, MembershipId};
use sqlx::PgConnection;

/// The end of a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// What clients called the member.
    pub member_id: MemberId,
    /// The membership that ended.
    pub membership_id: MembershipId,
    /// The version of its withdrawal.
    pub last_version: i64,
    /// When it ended.
    pub withdrawn_at: DateTime<Utc>,
}

/// Leaves a tombstone in place of any earlier one of the same memberId.
pub async fn put_in_tx(tx: &mut PgConnection, tombstone: &Tombstone) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO tombstone (member_id, membership_id, last_version, withdrawn_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (member_id) DO UPDATE
         SET membership_id = excluded.membership_id, last_version = excluded.last_version,
             withdrawn_at = excluded.withdrawn_at, rejoined = false, republished_at = NULL",
        tombstone.member_id.get(),
        tombstone.membership_id.0,
        tombstone.last_version,
        tombstone.withdrawn_at,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The version to go on from when a memberId joins anew, 0 when it never withdrew. The member is the newest record
/// of its key from now on, so the withdrawal is not published again.
pub async fn supersede_in_tx(tx: &mut PgConnection, member_id: MemberId) -> sqlx::Result<i64> {
    let version = sqlx::query_scalar!(
        "UPDATE tombstone SET rejoined = true WHERE member_id = $1 RETURNING last_version",
        member_id.get()
    )
    .fetch_optional(tx)
    .await?;
    Ok(version.unwrap_or(0))
}

/// Withdrawals from before `before` that are due to be published again. They count as published again once the
/// transaction commits.
pub async fn take_due_in_tx(
    tx: &mut PgConnection,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Tombstone>> {
    // An array is made once. The subquery of an `IN` may be run for every row, and then takes more than its limit.
    let rows = sqlx::query!(
        "UPDATE tombstone SET republished_at = $2
         WHERE member_id = ANY (ARRAY(
             SELECT member_id FROM tombstone
             WHERE republished_at IS NULL AND NOT rejoined AND withdrawn_at < $1
             ORDER BY withdrawn_at LIMIT $3 FOR UPDATE SKIP LOCKED))
         RETURNING member_id, membership_id, last_version, withdrawn_at",
        before,
        now,
        limit
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Tombstone {
                member_id: MemberId::try_from(row.member_id)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?,
                membership_id: MembershipId(row.membership_id),
                last_version: row.last_version,
                withdrawn_at: row.withdrawn_at,
            })
        })
        .collect()
}
