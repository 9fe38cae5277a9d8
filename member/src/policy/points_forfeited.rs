//! Whenever a member's points were forfeited: finish the withdrawal, in case the saga could not.

use shared_events::Envelope;
use shared_events::delivery::Outcome;
use shared_events::event::PointsForfeited;

use super::memberships::Memberships;
use crate::usecase::withdraw::Leaving;

pub(super) fn handle(
    memberships: &mut Memberships,
    envelope: &Envelope,
    forfeited: &PointsForfeited,
) -> Outcome {
    let PointsForfeited { member_id, membership_id, occurred_at: now, .. } = *forfeited;
    if memberships.get(membership_id).is_none() {
        return Outcome::AlreadyApplied;
    }
    memberships.end(Leaving { member_id, membership_id, provenance: envelope.provenance.clone(), now });
    Outcome::Applied
}
