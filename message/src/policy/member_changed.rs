//! Whenever a member's state is published: a READY member without a welcome message gets one queued.

use shared_events::Envelope;
use shared_events::event::{MemberState, MemberStatus, MessageKind};

use crate::domain::PhoneNo;
use crate::store::queueing::NewMessage;

/// The welcome that a state asks for.
pub(super) fn welcome(envelope: &Envelope, member: MemberState) -> Option<NewMessage<'_>> {
    (member.member_status == MemberStatus::Ready).then(|| NewMessage {
        member_id: member.member_id,
        membership_id: member.membership_id,
        kind: MessageKind::Welcome,
        occasion: String::new(),
        notice: None,
        phone_no: PhoneNo(member.phone_no),
        traceparent: envelope.provenance.traceparent.as_deref(),
    })
}
