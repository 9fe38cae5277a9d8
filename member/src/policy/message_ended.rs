//! Whenever a notification was sent or failed: the welcome decides between NORMAL and ABNORMAL.

use shared_events::delivery::outbox::{self, AggregateVersion};
use shared_events::delivery::{AfterCommit, HandlerError, Outcome};
use shared_events::event::{MemberStatus, MemberStatusChanged, MessageKind};
use shared_events::{Envelope, MembershipId};
use sqlx::{Connection, PgConnection};

use crate::domain::{Member, Transition, WelcomeOutcome};
use crate::metrics;
use crate::store::members::{self, StoreError};

pub(super) async fn handle_in_tx(
    tx: &mut PgConnection,
    envelope: &Envelope,
    membership_id: MembershipId,
    kind: MessageKind,
    outcome: WelcomeOutcome,
    after: &mut AfterCommit,
) -> Result<Outcome, HandlerError> {
    if kind != MessageKind::Welcome {
        return Ok(Outcome::Ignored);
    }
    let Some(mut member) = members::lock_membership_in_tx(tx, membership_id).await? else {
        return Ok(Outcome::Stale);
    };
    let was_abnormal = member.status == MemberStatus::Abnormal;
    let transition = member.end_welcome(outcome);
    if transition == Transition::Applied {
        if was_abnormal {
            if !reinstate_in_tx(tx, &member).await? {
                return Ok(Outcome::Ignored);
            }
        } else {
            members::update_in_tx(tx, &member).await?;
        }
        let aggregate =
            AggregateVersion { member_id: member.member_id, membership_id, version: member.version };
        let event = MemberStatusChanged(member.to_state());
        outbox::append_in_tx(tx, aggregate, &event, &envelope.provenance).await?;
        after.add(move || metrics::became(member.status));
    }
    Ok(transition.into())
}

/// Stores an ABNORMAL member as NORMAL, unless another member has the phone number by now. Says whether it did.
async fn reinstate_in_tx(tx: &mut PgConnection, member: &Member) -> Result<bool, HandlerError> {
    let mut savepoint = tx.begin().await?;
    match members::update_in_tx(&mut savepoint, member).await {
        Ok(()) => savepoint.commit().await?,
        Err(StoreError::PhoneTaken) => {
            savepoint.rollback().await?;
            tracing::warn!(
                member_id = %member.member_id,
                "the welcome was sent after all, but another member has the number: the member stays ABNORMAL"
            );
            return Ok(false);
        }
        Err(error @ (StoreError::MemberIdTaken | StoreError::Database(_))) => return Err(error.into()),
    }
    Ok(true)
}
