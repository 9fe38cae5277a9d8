//! Whenever points expire soon: queue a notice to the number that the member was welcomed at.

use chrono::{DateTime, Utc};
use shared_events::Envelope;
use shared_events::delivery::Outcome;
use shared_events::event::{MessageKind, PointsExpiring};
use sqlx::PgConnection;

use crate::domain::ExpiryNotice;
use crate::store::queue::{self, NewMessage};

pub(super) async fn handle_in_tx(
    tx: &mut PgConnection,
    envelope: &Envelope,
    expiring: &PointsExpiring,
    now: DateTime<Utc>,
) -> sqlx::Result<Outcome> {
    if expiring.expires_at <= now {
        return Ok(Outcome::Stale);
    }
    let Some(phone_no) = queue::phone_no_in_tx(tx, expiring.membership_id).await? else {
        return Ok(Outcome::Ignored);
    };
    let occasion = format!("{} {}", expiring.expires_at.to_rfc3339(), expiring.stage);
    let notice = NewMessage {
        member_id: expiring.member_id,
        membership_id: expiring.membership_id,
        kind: MessageKind::ExpiryNotice,
        occasion: &occasion,
        notice: Some(ExpiryNotice { points: expiring.points, expires_at: expiring.expires_at }),
        phone_no: &phone_no,
        traceparent: envelope.provenance.traceparent.as_deref(),
    };
    let queued = queue::queue_in_tx(tx, &notice, now).await?;
    Ok(if queued { Outcome::Applied } else { Outcome::AlreadyApplied })
}
