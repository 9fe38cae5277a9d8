//! What my page does when something happens elsewhere: it shows it, if it is newer.

use shared_events::delivery::{EventHandler, HandlerError, Outcome};
use shared_events::event::{
    MemberJoined, MemberStatusChanged, PointsAdjusted, PointsEarned, PointsExpired, PointsForfeited,
    PointsRestored, PointsUsed,
};
use shared_events::{Envelope, Event};
use sqlx::PgConnection;

use crate::store::pages;

/// My page's policies.
#[derive(Clone, Copy, Debug)]
pub struct Policies;

impl EventHandler for Policies {
    async fn handle_in_tx(
        &self,
        tx: &mut PgConnection,
        envelope: &Envelope,
        event: Event,
    ) -> Result<Outcome, HandlerError> {
        let (member_id, version) = (envelope.member_id, envelope.sequence);
        let was_newer = match event {
            Event::MemberJoined(MemberJoined(state))
            | Event::MemberStatusChanged(MemberStatusChanged(state)) => {
                pages::put_member_in_tx(tx, &state, version).await?
            }
            Event::MemberWithdrawn(event) => {
                pages::remove_member_in_tx(tx, member_id, event.membership_id, version).await?
            }
            Event::PointsEarned(PointsEarned { membership_id, remain_point, .. })
            | Event::PointsUsed(PointsUsed { membership_id, remain_point, .. })
            | Event::PointsForfeited(PointsForfeited { membership_id, remain_point, .. })
            | Event::PointsExpired(PointsExpired { membership_id, remain_point, .. })
            | Event::PointsRestored(PointsRestored { membership_id, remain_point, .. })
            | Event::PointsAdjusted(PointsAdjusted { membership_id, remain_point, .. }) => {
                pages::put_balance_in_tx(tx, member_id, membership_id, remain_point, version).await?
            }
            _ => return Ok(Outcome::Ignored),
        };
        Ok(if was_newer { Outcome::Applied } else { Outcome::Stale })
    }
}
