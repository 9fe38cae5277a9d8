//! What my page does when something happens elsewhere: it shows it, if it is newer.

mod points_changed;

use shared_events::delivery::{EventHandler, HandlerError, Outcome};
use shared_events::event::{MemberJoined, MemberStatusChanged};
use shared_events::{Envelope, Event, MemberId};
use sqlx::PgConnection;

use self::points_changed::PointsChanged;
use crate::store::{pages, transactions};

/// Puts the point half on the page, if it is newer. Says whether it was.
async fn put_points_in_tx(
    tx: &mut PgConnection,
    member_id: MemberId,
    changed: &PointsChanged,
    version: i64,
) -> sqlx::Result<bool> {
    let PointsChanged { membership_id, remain_point, next_expiration, transaction, is_closed } = changed;
    let put =
        pages::put_balance_in_tx(tx, member_id, *membership_id, *remain_point, *next_expiration, version);
    if !put.await? {
        return Ok(false);
    }
    if *is_closed {
        transactions::clear_in_tx(tx, member_id).await?;
    } else if let Some(transaction) = transaction {
        transactions::add_in_tx(tx, member_id, *membership_id, transaction).await?;
    }
    Ok(true)
}

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
            event => {
                let Some(changed) = PointsChanged::of(event) else { return Ok(Outcome::Ignored) };
                put_points_in_tx(tx, member_id, &changed, version).await?
            }
        };
        Ok(if was_newer { Outcome::Applied } else { Outcome::Stale })
    }
}
