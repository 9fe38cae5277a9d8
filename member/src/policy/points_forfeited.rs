//! Whenever a member's points were forfeited: finish the withdrawal, in case the saga could not.

use shared_events::Envelope;
use shared_events::delivery::{AfterCommit, Outcome};
use shared_events::event::PointsForfeited;
use sqlx::PgConnection;

use crate::usecase::withdraw;

pub(super) async fn handle_in_tx(
    tx: &mut PgConnection,
    envelope: &Envelope,
    forfeited: &PointsForfeited,
    after: &mut AfterCommit,
) -> sqlx::Result<Outcome> {
    let PointsForfeited { member_id, membership_id, occurred_at, .. } = *forfeited;
    let transition =
        withdraw::remove_in_tx(tx, member_id, membership_id, &envelope.provenance, occurred_at, after)
            .await?;
    Ok(transition.into())
}
