//! What is left of withdrawn members.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared_events::{MemberId, MembershipId};
use sqlx::PgConnection;

use super::decoded;

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

/// Leaves tombstones, each in place of any earlier one of the same memberId.
pub async fn put_all_in_tx(tx: &mut PgConnection, tombstones: &[Tombstone]) -> sqlx::Result<()> {
    if tombstones.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO tombstone (member_id, membership_id, last_version, withdrawn_at)
         SELECT member_id, membership_id, last_version, withdrawn_at
         FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::timestamptz[])
              AS new (member_id, membership_id, last_version, withdrawn_at)
         ON CONFLICT (member_id) DO UPDATE
         SET membership_id = excluded.membership_id, last_version = excluded.last_version,
             withdrawn_at = excluded.withdrawn_at, rejoined = false, republished_at = NULL",
        &tombstones.iter().map(|tombstone| tombstone.member_id.get()).collect::<Vec<_>>(),
        &tombstones.iter().map(|tombstone| tombstone.membership_id.0).collect::<Vec<_>>(),
        &tombstones.iter().map(|tombstone| tombstone.last_version).collect::<Vec<_>>(),
        &tombstones.iter().map(|tombstone| tombstone.withdrawn_at).collect::<Vec<_>>(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The versions to go on from where memberIds join anew; there is none of an id that never withdrew. The members are the newest
/// records of their keys from now on, so the withdrawals are not published again.
pub async fn supersede_all_in_tx(
    tx: &mut PgConnection,
    member_ids: &[MemberId],
) -> sqlx::Result<HashMap<MemberId, i64>> {
    if member_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        "UPDATE tombstone SET rejoined = true WHERE member_id = ANY ($1) RETURNING member_id, last_version",
        &member_ids.iter().map(|member_id| member_id.get()).collect::<Vec<_>>()
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(|row| Ok((decoded(MemberId::try_from(row.member_id))?, row.last_version))).collect()
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
                member_id: decoded(MemberId::try_from(row.member_id))?,
                membership_id: MembershipId(row.membership_id),
                last_version: row.last_version,
                withdrawn_at: row.withdrawn_at,
            })
        })
        .collect()
}
