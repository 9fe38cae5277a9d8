//! Withdraw: a saga with one pivot. Before the forfeiture nothing has happened; after it the withdrawal always
//! completes, here or by the policy on `PointsForfeited`.

use chrono::{DateTime, Utc};
use shared_events::delivery::outbox::{self, AggregateVersion};
use shared_events::delivery::{AfterCommit, Wake};
use shared_events::event::MemberWithdrawn;
use shared_events::time::in_micros;
use shared_events::{MemberId, MembershipId, Provenance};
use sqlx::{PgConnection, PgPool};

use crate::domain::Transition;
use crate::metrics;
use crate::point_client::{ForfeitError, PointClient};
use crate::store::members;
use crate::store::tombstones::{self, Tombstone};

/// Why a withdrawal is not known to be complete.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// There is no such member.
    #[error("there is no such member")]
    NotFound,
    /// The points could not be forfeited; the error says whether they may have been all the same.
    #[error("the points could not be forfeited")]
    Forfeit(#[from] ForfeitError),
    /// The database failed before the points were forfeited: nothing has happened.
    #[error("the database failed before the forfeiture")]
    BeforePivot(#[source] sqlx::Error),
    /// The database failed after the points were forfeited: the policy finishes the withdrawal.
    #[error("the database failed after the forfeiture")]
    AfterPivot(#[source] sqlx::Error),
}

/// Forfeits the points and removes the member. Repeating it is always safe. Holds neither a transaction nor a
/// connection across the call to point.
///
/// # Errors
/// [`WithdrawError`]
pub async fn withdraw(
    pool: &PgPool,
    relay: &Wake,
    point: &PointClient,
    member_id: MemberId,
    provenance: &Provenance,
    now: impl Fn() -> DateTime<Utc>,
) -> Result<(), WithdrawError> {
    let found = members::find(pool, member_id).await.map_err(WithdrawError::BeforePivot)?;
    let membership_id = found.ok_or(WithdrawError::NotFound)?.membership_id;
    point.forfeit(member_id, membership_id, provenance).await?;
    remove(pool, member_id, membership_id, provenance, now()).await.map_err(WithdrawError::AfterPivot)?;
    relay.wake();
    Ok(())
}

async fn remove(
    pool: &PgPool,
    member_id: MemberId,
    membership_id: MembershipId,
    provenance: &Provenance,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let mut tx = pool.begin().await?;
    let mut after = AfterCommit::default();
    remove_in_tx(&mut tx, member_id, membership_id, provenance, now, &mut after).await?;
    tx.commit().await?;
    after.run();
    Ok(())
}

/// Removes a member whose points are forfeited, leaves the tombstone and publishes `MemberWithdrawn`. Whoever
/// deletes the row publishes: the saga or the policy.
pub(crate) async fn remove_in_tx(
    tx: &mut PgConnection,
    member_id: MemberId,
    membership_id: MembershipId,
    provenance: &Provenance,
    now: DateTime<Utc>,
    after: &mut AfterCommit,
) -> sqlx::Result<Transition> {
    let Some(version) = members::delete_in_tx(tx, membership_id).await? else {
        return Ok(Transition::AlreadyApplied);
    };
    let (last_version, withdrawn_at) = (version + 1, in_micros(now));
    let tombstone = Tombstone { member_id, membership_id, last_version, withdrawn_at };
    tombstones::put_in_tx(tx, &tombstone).await?;
    publish_in_tx(tx, &tombstone, provenance).await?;
    after.add(metrics::withdrew);
    Ok(Transition::Applied)
}

/// Publishes a withdrawal, for the first or the second time.
pub(super) async fn publish_in_tx(
    tx: &mut PgConnection,
    tombstone: &Tombstone,
    provenance: &Provenance,
) -> sqlx::Result<()> {
    let Tombstone { member_id, membership_id, last_version: version, withdrawn_at } = *tombstone;
    let event = MemberWithdrawn { member_id, membership_id, withdrawn_at };
    outbox::append_in_tx(tx, AggregateVersion { member_id, membership_id, version }, &event, provenance).await
}
