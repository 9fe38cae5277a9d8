//! Whenever a member's points were forfeited: finish the withdrawal, in case the saga could not.

use shared_events::Envelope;
use shared_events::delivery::{AfterCommit, HandlerError, Outcome};
use shared_events::event::PointsForfeited;
use sqlx::PgConnection;

use super::memberships::Memberships;
use crate::usecase::withdraw;

pub(super) async fn handle_in_tx(
    tx: &mut PgConnection,
    memberships: &mut Memberships,
    envelope: &Envelope,
    forfeited: &PointsForfeited,
    after: &mut AfterCommit,
) -> Result<Outcome, HandlerError> {
    let PointsForfeited { member_id, membership_id, occurred_at, .. } = *forfeited;
    if memberships.get(membership_id).is_none() {
        return Ok(Outcome::AlreadyApplied);
    }
    // The withdrawal goes on from the version that is stored, and is published behind it.
    memberships.store_in_tx(tx).await?;
    let transition =
        withdraw::remove_in_tx(tx, member_id, membership_id, &envelope.provenance, occurred_at, after)
            .await?;
    memberships.end(membership_id);
    Ok(transition.into())
}
