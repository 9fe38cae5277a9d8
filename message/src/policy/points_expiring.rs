//! Whenever points expire soon: queue a notice to the number that the member was welcomed at.

use chrono::{DateTime, Utc};
use shared_events::Envelope;
use shared_events::event::{MessageKind, PointsExpiring};

use crate::domain::{ExpiryNotice, PhoneNo};
use crate::store::queueing::NewMessage;

/// Whether the points are gone by now.
pub(super) fn is_too_late(expiring: &PointsExpiring, now: DateTime<Utc>) -> bool {
    expiring.expires_at <= now
}

/// The notice to a number.
pub(super) fn notice<'a>(
    envelope: &'a Envelope,
    expiring: &PointsExpiring,
    phone_no: PhoneNo,
) -> NewMessage<'a> {
    NewMessage {
        member_id: expiring.member_id,
        membership_id: expiring.membership_id,
        kind: MessageKind::ExpiryNotice,
        occasion: format!("{} {}", expiring.expires_at.to_rfc3339(), expiring.stage),
        notice: Some(ExpiryNotice { points: expiring.points, expires_at: expiring.expires_at }),
        phone_no,
        traceparent: envelope.provenance.traceparent.as_deref(),
    }
}
