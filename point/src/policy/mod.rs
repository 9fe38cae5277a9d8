//! What point does when something happens elsewhere.

mod holdings;
mod member_changed;

use shared_events::delivery::{AfterCommit, EventHandler, HandlerError, Outcome};
use shared_events::event::{MemberJoined, MemberStatusChanged, Payload};
use shared_events::{Envelope, Event};
use sqlx::PgConnection;

use self::holdings::Holdings;
use self::member_changed::MemberChanged;
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

    async fn handle_all_in_tx(
        &self,
        tx: &mut PgConnection,
        events: Vec<(&Envelope, Event)>,
        after: &mut AfterCommit,
    ) -> Result<Vec<Outcome>, HandlerError> {
        let changes: Vec<Option<MemberChanged<'_>>> =
            events.into_iter().map(|(envelope, event)| MemberChanged::new(envelope, event)).collect();
        let told: Vec<&MemberChanged<'_>> = changes.iter().flatten().collect();
        let mut holdings = Holdings::lock_in_tx(tx, &told).await?;
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in &changes {
            outcomes.push(match change {
                Some(change) => change.handle_in_tx(tx, &mut holdings, &self.validity, after).await?,
                None => Outcome::Ignored,
            });
        }
        holdings.store_in_tx(tx, after).await?;
        Ok(outcomes)
    }
}
