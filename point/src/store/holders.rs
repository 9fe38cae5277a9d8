//! Holders in Postgres.

use std::collections::BTreeSet;

use shared_events::MemberId;
use sqlx::PgConnection;

use super::decoded;
use crate::domain::Holder;

/// The holder of a memberId's accounts, locked as [`lock_all_in_tx`] does.
pub async fn lock_in_tx(tx: &mut PgConnection, member_id: MemberId) -> sqlx::Result<Holder> {
    let holders = lock_all_in_tx(tx, &BTreeSet::from([member_id])).await?;
    holders.into_iter().next().ok_or(sqlx::Error::RowNotFound)
}

/// The holders of memberIds' accounts, locked until the transaction ends, in the order of memberIds: two who lock several
/// never wait for each other. Whatever opens or closes an account comes here first, also while there is none. Changes of
/// an open account's balance do not.
pub async fn lock_all_in_tx(
    tx: &mut PgConnection,
    member_ids: &BTreeSet<MemberId>,
) -> sqlx::Result<Vec<Holder>> {
    // Updates nothing: it locks the rows that are there, and returns them, in the same round trip.
    let rows = sqlx::query!(
        "INSERT INTO holder (member_id) SELECT member_id FROM unnest($1::bigint[]) AS asked (member_id) ORDER BY member_id
         ON CONFLICT (member_id) DO UPDATE SET member_version = holder.member_version
         RETURNING member_id, last_version, member_version",
        &member_ids.iter().map(|member_id| member_id.get()).collect::<Vec<_>>(),
    )
    .fetch_all(tx)
    .await?;
    let holder = |(member_id, last_version, member_version)| {
        let member_id = decoded(MemberId::try_from(member_id))?;
        Ok(Holder { member_id, last_version, member_version })
    };
    rows.into_iter().map(|row| holder((row.member_id, row.last_version, row.member_version))).collect()
}

/// Stores what changed in holders that are locked, each of them once.
pub async fn update_all_in_tx(tx: &mut PgConnection, holders: &[&Holder]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE holder SET last_version = now.last_version, member_version = now.member_version
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS now (member_id, last_version, member_version)
         WHERE holder.member_id = now.member_id",
        &holders.iter().map(|holder| holder.member_id.get()).collect::<Vec<_>>(),
        &holders.iter().map(|holder| holder.last_version).collect::<Vec<_>>(),
        &holders.iter().map(|holder| holder.member_version).collect::<Vec<_>>(),
    )
    .execute(tx)
    .await?;
    Ok(())
}
