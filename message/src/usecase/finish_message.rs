//! Note what an attempt to send came to, and publish it when it is final.

use chrono::{DateTime, Utc};
use shared_events::Provenance;
use shared_events::delivery::Wake;
use shared_events::delivery::outbox::{self, AggregateVersion};
use shared_events::event::{MessageFailed, MessageSent};
use sqlx::{PgConnection, PgPool};

use crate::domain::{Delivery, MessageStatus, RetryBudget};
use crate::metrics;
use crate::store::queue::{self, Claimed, Ending};

/// Notes an attempt's outcome. Does nothing when the claim has passed to somebody else, or the member has withdrawn.
/// `jitter`, from 0 to 1, shortens the wait for the next attempt.
///
/// # Errors
/// When the database fails; to be tried again, which is safe: without an outcome the message is sent twice.
pub async fn finish_message(
    pool: &PgPool,
    relay: &Wake,
    budget: &RetryBudget,
    claimed: &Claimed,
    delivery: &Delivery,
    now: DateTime<Utc>,
    jitter: f64,
) -> sqlx::Result<()> {
    let ending = match delivery {
        Delivery::Sent { gateway_message_id } => Ending {
            status: MessageStatus::Sent,
            reason: None,
            gateway_message_id: gateway_message_id.as_deref(),
            may_be_accepted: true,
        },
        Delivery::Failed { reason } => failed(reason, false),
        Delivery::Postponed { reason, retry_after, may_be_accepted } => {
            let next = budget.next_attempt(claimed.attempts, claimed.admitted_at, now, *retry_after, jitter);
            if let Some(due_at) = next {
                return queue::postpone(pool, claimed, reason, *may_be_accepted, due_at).await;
            }
            let reason = format!("given up after {} attempts: {reason}", claimed.attempts);
            return end(pool, relay, claimed, failed(&reason, *may_be_accepted), now).await;
        }
    };
    end(pool, relay, claimed, ending, now).await
}

const fn failed(reason: &str, may_be_accepted: bool) -> Ending<'_> {
    Ending { status: MessageStatus::Failed, reason: Some(reason), gateway_message_id: None, may_be_accepted }
}

async fn end(
    pool: &PgPool,
    relay: &Wake,
    claimed: &Claimed,
    ending: Ending<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let mut tx = pool.begin().await?;
    let Some(version) = queue::finish_in_tx(&mut tx, claimed, ending, now).await? else {
        tracing::info!(message_id = claimed.message_id, "the message is no longer ours to finish");
        return Ok(());
    };
    publish_in_tx(&mut tx, claimed, version, ending.reason, now).await?;
    tx.commit().await?;
    metrics::finished(claimed.kind, ending.status);
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
