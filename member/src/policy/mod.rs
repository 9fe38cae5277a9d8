//! What member does when something happens elsewhere.

mod message_ended;
mod points_forfeited;

use shared_events::delivery::{AfterCommit, EventHandler, HandlerError, Outcome};
use shared_events::event::{MessageFailed, MessageSent, Payload, PointsForfeited};
use shared_events::{Envelope, Event};
use sqlx::PgConnection;

use crate::domain::{Transition, WelcomeOutcome};
use crate::store::members::StoreError;

/// Member's policies.
#[derive(Clone, Copy, Debug)]
pub struct Policies;

impl EventHandler for Policies {
    fn reacts_to(&self, event_type: &str) -> bool {
        [MessageSent::TYPE, MessageFailed::TYPE, PointsForfeited::TYPE].contains(&event_type)
    }

    async fn handle_in_tx(
        &self,
        tx: &mut PgConnection,
        envelope: &Envelope,
        event: Event,
        after: &mut AfterCommit,
    ) -> Result<Outcome, HandlerError> {
        let outcome = match event {
            Event::MessageSent(sent) => {
                let outcome = WelcomeOutcome::Sent;
                message_ended::handle_in_tx(tx, envelope, sent.membership_id, sent.kind, outcome, after)
                    .await?
            }
            Event::MessageFailed(failed) => {
                let outcome = WelcomeOutcome::Failed;
                message_ended::handle_in_tx(tx, envelope, failed.membership_id, failed.kind, outcome, after)
                    .await?
            }
            Event::PointsForfeited(forfeited) => {
                points_forfeited::handle_in_tx(tx, envelope, &forfeited, after).await?
            }
            _ => Outcome::Ignored,
        };
        Ok(outcome)
    }
}

impl From<StoreError> for HandlerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => error.into(),
            StoreError::MemberIdTaken | StoreError::PhoneTaken => Self::permanent(error),
        }
    }
}

impl From<Transition> for Outcome {
    fn from(transition: Transition) -> Self {
        match transition {
            Transition::Applied => Self::Applied,
            Transition::AlreadyApplied => Self::AlreadyApplied,
        }
    }
}
