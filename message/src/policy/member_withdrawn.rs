//! Whenever a member has withdrawn: cancel what is queued and erase the phone number.

use chrono::{DateTime, Utc};
use shared_events::delivery::Outcome;
use shared_events::event::MemberWithdrawn;
use sqlx::PgConnection;

use crate::store::queue;

pub(super) async fn handle_in_tx(
    tx: &mut PgConnection,
    withdrawn: &MemberWithdrawn,
    now: DateTime<Utc>,
) -> sqlx::Result<Outcome> {
    let erased = queue::erase_in_tx(tx, withdrawn.membership_id, now).await?;
    Ok(if erased > 0 { Outcome::Applied } else { Outcome::AlreadyApplied })
}
