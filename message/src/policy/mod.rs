//! What message does when something happens elsewhere. Policies only queue; the worker sends.

mod member_changed;
mod member_withdrawn;
mod points_expiring;
mod wanted;

use chrono::{DateTime, Utc};
use shared_events::delivery::{AfterCommit, EventHandler, HandlerError, Outcome};
use shared_events::event::{MemberJoined, MemberStatusChanged, MemberWithdrawn, Payload, PointsExpiring};
use shared_events::{Envelope, Event};
use sqlx::PgConnection;

use self::wanted::Wanted;

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

    async fn handle_all_in_tx(
        &self,
        tx: &mut PgConnection,
        events: Vec<(&Envelope, Event)>,
        after: &mut AfterCommit,
    ) -> Result<Vec<Outcome>, HandlerError> {
        let now = (self.clock)();
        let mut outcomes = vec![Outcome::Ignored; events.len()];
        let mut wanted = Wanted::default();
        for ((envelope, event), outcome) in events.into_iter().zip(&mut outcomes) {
            match event {
                Event::MemberJoined(MemberJoined(state))
                | Event::MemberStatusChanged(MemberStatusChanged(state)) => {
                    let Some(welcome) = member_changed::welcome(envelope, state) else { continue };
                    // A notice needs the number of a welcome that was told of before it, not after it.
                    if wanted.has_notice_of(welcome.membership_id) {
                        wanted.queue_in_tx(tx, now).await?;
                    }
                    wanted.add_welcome(welcome, outcome);
                }
                Event::MemberWithdrawn(withdrawn) => {
                    if wanted.has_any_of(withdrawn.membership_id) {
                        wanted.queue_in_tx(tx, now).await?;
                    }
                    *outcome = member_withdrawn::handle_in_tx(tx, &withdrawn, now, after).await?;
                }
                Event::PointsExpiring(expiring) if points_expiring::is_too_late(&expiring, now) => {
                    *outcome = Outcome::Stale;
                }
                Event::PointsExpiring(expiring) => wanted.add_notice(envelope, expiring, outcome),
                _ => {}
            }
        }
        wanted.queue_in_tx(tx, now).await?;
        Ok(outcomes)
    }
}
