//! Whenever a notification was sent or failed: the welcome decides between NORMAL and ABNORMAL.

use shared_events::delivery::Outcome;
use shared_events::delivery::outbox::{self, AggregateVersion};
use shared_events::event::{MemberStatusChanged, MessageKind};
use shared_events::{Envelope, MembershipId};
use sqlx::PgConnection;

use crate::domain::{Transition, WelcomeOutcome};
use crate::store::members;

pub(super) async fn handle_in_tx(
    tx: &mut PgConnection,
    envelope: &Envelope,
    membership_id: MembershipId,
    kind: MessageKind,
    outcome: WelcomeOutcome,
) -> sqlx::Result<Outcome> {
    if kind != MessageKind::Welcome {
        return Ok(Outcome::Ignored);
    }
    let Some(mut member) = members::lock_membership_in_tx(tx, membership_id).await? else {
        return Ok(Outcome::Stale);
    };
    let transition = member.end_welcome(outcome);
    if transition == Transition::Applied {
        members::update_in_tx(tx, &member).await?;
        let aggregate =
            AggregateVersion { member_id: member.member_id, membership_id, version: member.version };
        let event = MemberStatusChanged(member.to_state());
        outbox::append_in_tx(tx, aggregate, &event, &envelope.provenance).await?;
    }
    Ok(transition.into())
}
