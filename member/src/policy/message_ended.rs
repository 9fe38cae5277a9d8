//! Whenever a notification was sent or failed: the welcome decides between NORMAL and ABNORMAL.

use std::slice;

use shared_events::delivery::{AfterCommit, HandlerError, Outcome};
use shared_events::event::{MemberStatus, MessageKind};
use shared_events::{Envelope, Event, MembershipId};
use sqlx::{Connection, PgConnection};

use super::memberships::Memberships;
use crate::domain::{Member, Transition, WelcomeOutcome};
use crate::store::members::{self, StoreError};

/// The membership whose welcome has ended, and how it did.
pub(super) fn ended_welcome(event: &Event) -> Option<(MembershipId, WelcomeOutcome)> {
    let (kind, membership_id, outcome) = match event {
        Event::MessageSent(sent) => (sent.kind, sent.membership_id, WelcomeOutcome::Sent),
        Event::MessageFailed(failed) => (failed.kind, failed.membership_id, WelcomeOutcome::Failed),
        _ => return None,
    };
    (kind == MessageKind::Welcome).then_some((membership_id, outcome))
}

pub(super) async fn handle_in_tx(
    tx: &mut PgConnection,
    memberships: &mut Memberships,
    envelope: &Envelope,
    membership_id: MembershipId,
    outcome: WelcomeOutcome,
    after: &mut AfterCommit,
) -> Result<Outcome, HandlerError> {
    let Some(former) = memberships.get(membership_id) else {
        return Ok(Outcome::Stale);
    };
    let was_abnormal = former.status == MemberStatus::Abnormal;
    let mut member = former.clone();
    let transition = member.end_welcome(outcome);
    if transition == Transition::Applied {
        if !was_abnormal {
            memberships.change(member, &envelope.provenance, after)?;
        } else {
            // Another member may become ABNORMAL by an event before this one, and leave the number.
            memberships.store_in_tx(tx, after).await?;
            if !reinstate_in_tx(tx, &member).await? {
                return Ok(Outcome::Ignored);
            }
            memberships.publish(member, &envelope.provenance, after)?;
        }
    }
    Ok(transition.into())
}

/// Stores an ABNORMAL member as NORMAL, unless another member has the phone number by now. Says whether it did.
async fn reinstate_in_tx(tx: &mut PgConnection, member: &Member) -> Result<bool, HandlerError> {
    let mut savepoint = tx.begin().await?;
    match members::update_all_in_tx(&mut savepoint, slice::from_ref(member)).await {
        Ok(()) => savepoint.commit().await?,
        Err(StoreError::PhoneTaken(_)) => {
            savepoint.rollback().await?;
            tracing::warn!(
                member_id = %member.member_id,
                "the welcome was sent after all, but another member has the number: the member stays ABNORMAL"
            );
            return Ok(false);
        }
        Err(StoreError::Database(error)) => return Err(error.into()),
    }
    Ok(true)
}
