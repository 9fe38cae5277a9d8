//! Note what an attempt to send came to, and publish it when it is final.

use chrono::{DateTime, Utc};
use shared_events::Provenance;
use shared_events::delivery::Wake;
use shared_events::delivery::outbox::{self, AggregateVersion};
use shared_events::event::{MessageFailed, MessageSent};
use sqlx::{PgConnection, PgPool};

use crate::domain::{Delivery, MessageStatus, backoff};
use crate::store::messages::{self, Claimed};

/// Notes an attempt's outcome. Does nothing when the claim has passed to somebody else, or the member has withdrawn.
///
/// # Errors
/// When the database fails; to be tried again, which is safe: without an outcome the message is sent twice.
pub async fn finish_message(
    pool: &PgPool,
    relay: &Wake,
    claimed: &Claimed,
    delivery: &Delivery,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    match delivery {
        Delivery::Postponed { reason } => {
            messages::postpone(pool, claimed, reason, now + backoff(claimed.attempts)).await
        }
        Delivery::Sent => end(pool, relay, claimed, None, now).await,
        Delivery::Failed { reason } => end(pool, relay, claimed, Some(reason), now).await,
    }
}

/// Ends the message: failed when there is a reason, sent when there is none.
async fn end(
    pool: &PgPool,
    relay: &Wake,
    claimed: &Claimed,
    failure: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let status = if failure.is_some() { MessageStatus::Failed } else { MessageStatus::Sent };
    let mut tx = pool.begin().await?;
    let Some(version) = messages::finish_in_tx(&mut tx, claimed, status, failure, now).await? else {
        tracing::info!(message_id = claimed.message_id, "the message is no longer ours to finish");
        return Ok(());
    };
    publish_in_tx(&mut tx, claimed, version, failure, now).await?;
    tx.commit().await?;
    relay.wake();
    Ok(())
}

async fn publish_in_tx(
    tx: &mut PgConnection,
    claimed: &Claimed,
    version: i64,
    failure: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let Claimed { message_id, member_id, membership_id, kind, .. } = *claimed;
    let aggregate = AggregateVersion { member_id, membership_id, version };
    let provenance =
        Provenance { actor: "service:message".to_owned(), traceparent: claimed.traceparent.clone() };
    match failure {
        None => {
            let event = MessageSent { message_id, member_id, membership_id, kind, sent_at: now };
            outbox::append_in_tx(tx, aggregate, &event, &provenance).await
        }
        Some(reason) => {
            let reason = reason.to_owned();
            let event = MessageFailed { message_id, member_id, membership_id, kind, reason, failed_at: now };
            outbox::append_in_tx(tx, aggregate, &event, &provenance).await
        }
    }
}
