//! What point does when something happens elsewhere.

mod member_changed;

use shared_events::delivery::{EventHandler, HandlerError, Outcome};
use shared_events::event::{MemberJoined, MemberStatusChanged};
use shared_events::{Envelope, Event};
use sqlx::PgConnection;

/// Point's policies.
#[derive(Clone, Copy, Debug)]
pub struct Policies;

impl EventHandler for Policies {
    async fn handle_in_tx(
        &self,
        tx: &mut PgConnection,
        envelope: &Envelope,
        event: Event,
    ) -> Result<Outcome, HandlerError> {
        match event {
            Event::MemberJoined(MemberJoined(state))
            | Event::MemberStatusChanged(MemberStatusChanged(state)) => {
                Ok(member_changed::handle_in_tx(tx, envelope, &state).await?)
            }
            _ => Ok(Outcome::Ignored),
        }
    }
}
