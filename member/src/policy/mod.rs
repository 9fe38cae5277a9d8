//! What member does when something happens elsewhere.

mod memberships;
mod message_ended;
mod points_forfeited;

use shared_events::delivery::{AfterCommit, EventHandler, HandlerError, Outcome};
use shared_events::event::{MessageFailed, MessageSent, Payload, PointsForfeited};
use shared_events::{Envelope, Event, MembershipId};
use sqlx::PgConnection;

use self::memberships::Memberships;
use crate::domain::Transition;
use crate::store::members::StoreError;

/// Member's policies.
#[derive(Clone, Copy, Debug)]
pub struct Policies;

impl EventHandler for Policies {
    fn reacts_to(&self, event_type: &str) -> bool {
        [MessageSent::TYPE, MessageFailed::TYPE, PointsForfeited::TYPE].contains(&event_type)
    }

    async fn handle_all_in_tx(
        &self,
        tx: &mut PgConnection,
        events: Vec<(&Envelope, Event)>,
        after: &mut AfterCommit,
    ) -> Result<Vec<Outcome>, HandlerError> {
        let concerned: Vec<MembershipId> = events.iter().filter_map(|(_, event)| concerned(event)).collect();
        let mut memberships = Memberships::lock_in_tx(tx, &concerned).await?;
        let mut outcomes = Vec::with_capacity(events.len());
        for (envelope, event) in &events {
            outcomes.push(react_in_tx(tx, &mut memberships, envelope, event, after).await?);
        }
        memberships.store_in_tx(tx, after).await?;
        Ok(outcomes)
    }
}

/// The membership that an event may change.
fn concerned(event: &Event) -> Option<MembershipId> {
    match event {
        Event::PointsForfeited(forfeited) => Some(forfeited.membership_id),
        event => message_ended::ended_welcome(event).map(|(membership_id, _)| membership_id),
    }
}

/// Decides on an event. What that changes is stored at once, or noted in the memberships to be stored.
async fn react_in_tx(
    tx: &mut PgConnection,
    memberships: &mut Memberships,
    envelope: &Envelope,
    event: &Event,
    after: &mut AfterCommit,
) -> Result<Outcome, HandlerError> {
    if let Event::PointsForfeited(forfeited) = event {
        return Ok(points_forfeited::handle(memberships, envelope, forfeited));
    }
    let Some((membership_id, outcome)) = message_ended::ended_welcome(event) else {
        return Ok(Outcome::Ignored);
    };
    message_ended::handle_in_tx(tx, memberships, envelope, membership_id, outcome, after).await
}

impl From<StoreError> for HandlerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => error.into(),
            StoreError::PhoneTaken(_) => Self::permanent(error),
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
