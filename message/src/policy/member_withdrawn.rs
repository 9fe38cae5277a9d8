//! Whenever a member has withdrawn: cancel what is queued and erase the phone number.

use chrono::{DateTime, Utc};
use shared_events::delivery::{AfterCommit, Outcome};
use shared_events::event::MemberWithdrawn;
use sqlx::PgConnection;

use crate::domain::MessageStatus;
use crate::metrics;
use crate::store::queueing;

pub(super) async fn handle_in_tx(
    tx: &mut PgConnection,
    withdrawn: &MemberWithdrawn,
    now: DateTime<Utc>,
    after: &mut AfterCommit,
) -> sqlx::Result<Outcome> {
    let erased = queueing::erase_in_tx(tx, withdrawn.membership_id, now).await?;
    let is_known = erased.is_empty();
    let cancelled = erased.into_iter().filter(|erased| erased.is_cancelled);
    for erased in cancelled {
        after.add(move || metrics::finished(erased.kind, MessageStatus::Cancelled));
    }
    Ok(if is_known { Outcome::AlreadyApplied } else { Outcome::Applied })
}
