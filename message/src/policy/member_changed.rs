//! Whenever a member's state is published: a READY member without a welcome message gets one queued.

use chrono::{DateTime, Utc};
use shared_events::Envelope;
use shared_events::delivery::Outcome;
use shared_events::event::{MemberState, MemberStatus, MessageKind};
use sqlx::PgConnection;

use crate::domain::PhoneNo;
use crate::store::queue::{self, NewMessage};

pub(super) async fn handle_in_tx(
    tx: &mut PgConnection,
    envelope: &Envelope,
    member: &MemberState,
    now: DateTime<Utc>,
) -> sqlx::Result<Outcome> {
    if member.member_status != MemberStatus::Ready {
        return Ok(Outcome::Ignored);
    }
    let phone_no = PhoneNo(member.phone_no.clone());
    let welcome = NewMessage {
        member_id: member.member_id,
        membership_id: member.membership_id,
        kind: MessageKind::Welcome,
        occasion: "",
        notice: None,
        phone_no: &phone_no,
        traceparent: envelope.provenance.traceparent.as_deref(),
    };
    let queued = queue::queue_in_tx(tx, &welcome, now).await?;
    Ok(if queued { Outcome::Applied } else { Outcome::AlreadyApplied })
}
