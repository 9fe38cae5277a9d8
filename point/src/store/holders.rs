//! Holders in Postgres.

use shared_events::MemberId;
use sqlx::PgConnection;

use crate::domain::Holder;

/// The holder of a memberId's accounts, locked until the transaction ends: whatever opens or closes one of them
/// comes here first, also while there is none. Changes of an open account's balance do not.
pub async fn lock_in_tx(tx: &mut PgConnection, member_id: MemberId) -> sqlx::Result<Holder> {
    // Updates nothing: it locks the row that is there, and returns it, in the same round trip.
    let row = sqlx::query!(
        "INSERT INTO holder (member_id) VALUES ($1)
         ON CONFLICT (member_id) DO UPDATE SET member_version = holder.member_version
         RETURNING last_version, member_version",
        member_id.get()
    )
    .fetch_one(tx)
    .await?;
    Ok(Holder { member_id, last_version: row.last_version, member_version: row.member_version })
}

/// Stores what changed in a holder that is locked.
pub async fn update_in_tx(tx: &mut PgConnection, holder: &Holder) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE holder SET last_version = $2, member_version = $3 WHERE member_id = $1",
        holder.member_id.get(),
        holder.last_version,
        holder.member_version,
    )
    .execute(tx)
    .await?;
    Ok(())
}
