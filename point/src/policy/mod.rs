//! What point does when something happens elsewhere.

mod member_changed;

use shared_events::delivery::{AfterCommit, EventHandler, HandlerError, Outcome};
use shared_events::event::{MemberJoined, MemberStatusChanged, Payload};
use shared_events::{Envelope, Event};
use sqlx::PgConnection;

use crate::domain::Validity;

/// Point's policies.
#[derive(Clone, Copy, Debug)]
pub struct Policies {
    /// How long the points for joining are valid.
    pub validity: Validity,
}

impl EventHandler for Policies {
    fn reacts_to(&self, event_type: &str) -> bool {
        [MemberJoined::TYPE, MemberStatusChanged::TYPE].contains(&event_type)
    }

    async fn handle_in_tx(
        &self,
        tx: &mut PgConnection,
        envelope: &Envelope,
        event: Event,
        after: &mut AfterCommit,
    ) -> Result<Outcome, HandlerError> {
        match event {
            Event::MemberJoined(MemberJoined(state))
            | Event::MemberStatusChanged(MemberStatusChanged(state)) => {
                Ok(member_changed::handle_in_tx(tx, envelope, &state, &self.validity, after).await?)
            }
            _ => Ok(Outcome::Ignored),
        }
    }
}
