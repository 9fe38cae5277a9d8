//! What message does when something happens elsewhere. Policies only queue; the worker sends.

mod member_changed;
mod member_withdrawn;
mod points_expiring;

use chrono::{DateTime, Utc};
use shared_events::delivery::{AfterCommit, EventHandler, HandlerError, Outcome};
use shared_events::event::{MemberJoined, MemberStatusChanged, MemberWithdrawn, Payload, PointsExpiring};
use shared_events::{Envelope, Event};
use sqlx::PgConnection;

/// Message's policies.
#[derive(Clone, Copy, Debug)]
pub struct Policies {
    /// What time it is.
    pub clock: fn() -> DateTime<Utc>,
}

impl EventHandler for Policies {
    fn reacts_to(&self, event_type: &str) -> bool {
        [MemberJoined::TYPE, MemberStatusChanged::TYPE, MemberWithdrawn::TYPE, PointsExpiring::TYPE]
            .contains(&event_type)
    }

    async fn handle_in_tx(
        &self,
        tx: &mut PgConnection,
        envelope: &Envelope,
        event: Event,
        after: &mut AfterCommit,
    ) -> Result<Outcome, HandlerError> {
        let now = (self.clock)();
        let outcome = match event {
            Event::MemberJoined(MemberJoined(state))
            | Event::MemberStatusChanged(MemberStatusChanged(state)) => {
                member_changed::handle_in_tx(tx, envelope, &state, now).await?
            }
            Event::MemberWithdrawn(withdrawn) => {
                member_withdrawn::handle_in_tx(tx, &withdrawn, now, after).await?
            }
            Event::PointsExpiring(expiring) => {
                points_expiring::handle_in_tx(tx, envelope, &expiring, now).await?
            }
            _ => Outcome::Ignored,
        };
        Ok(outcome)
    }
}
