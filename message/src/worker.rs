//! Sends what is queued: claims, sends outside any transaction, notes the outcome.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use metrics::counter;
use shared_events::delivery::Wake;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{Delivery, body};
use crate::gateway::{SendError, Sms, SmsGateway};
use crate::store::messages::{self, Claimed};
use crate::usecase::finish_message::finish_message;

/// How long a claim holds. Longer than [`SEND_TIMEOUT`], so that a live owner is not overtaken.
const LEASE: TimeDelta = TimeDelta::seconds(30);
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to look without being woken: for leases that ended and attempts that are due again.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Sends what is queued, many messages at a time.
#[derive(Debug)]
pub struct Worker<G> {
    /// Connections as the serving role.
    pub pool: PgPool,
    /// What sends.
    pub gateway: G,
    /// Wakes the worker when something was queued.
    pub wake: Wake,
    /// Woken after each commit that published something.
    pub relay: Wake,
    /// Most messages that are being sent at a time.
    pub concurrency: usize,
    /// What time it is.
    pub clock: fn() -> DateTime<Utc>,
}

impl<G: SmsGateway> Worker<G> {
    /// Runs until cancelled, then finishes what is being sent.
    ///
    /// # Errors
    /// When the database fails; to be restarted by the supervisor.
    pub async fn run(self: Arc<Self>, token: CancellationToken) -> sqlx::Result<()> {
        let mut sending = JoinSet::new();
        let outcome = self.keep_sending(&mut sending, &token).await;
        // After a failure, too: the gateway may have accepted what is under way, and it would be sent twice.
        while sending.join_next().await.is_some() {}
        outcome
    }

    async fn keep_sending(
        self: &Arc<Self>,
        sending: &mut JoinSet<()>,
        token: &CancellationToken,
    ) -> sqlx::Result<()> {
        while !token.is_cancelled() {
            let free = self.concurrency - sending.len();
            let claimed = if free > 0 { self.claim(free).await? } else { Vec::new() };
            let may_be_more = claimed.len() == free && free > 0;
            for message in claimed {
                let worker = Arc::clone(self);
                sending.spawn(async move { worker.deliver(message).await });
            }
            if may_be_more && sending.len() < self.concurrency {
                continue;
            }
            tokio::select! {
                Some(_) = sending.join_next() => {}
                () = self.wake.woken(), if sending.len() < self.concurrency => {}
                () = tokio::time::sleep(POLL_INTERVAL), if sending.len() < self.concurrency => {}
                () = token.cancelled() => {}
            }
        }
        Ok(())
    }

    async fn claim(&self, limit: usize) -> sqlx::Result<Vec<Claimed>> {
        let now = (self.clock)();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        messages::claim(&self.pool, Uuid::now_v7(), now, now + LEASE, limit).await
    }

    async fn deliver(&self, claimed: Claimed) {
        let delivery = self.send(&claimed).await;
        let outcome = match &delivery {
            Delivery::Sent => "sent",
            Delivery::Failed { .. } => "failed",
            Delivery::Postponed { .. } => "postponed",
        };
        counter!("messages_attempted_total", "kind" => claimed.kind.as_str(), "outcome" => outcome)
            .increment(1);
        tracing::debug!(message_id = claimed.message_id, member_id = %claimed.member_id, outcome, "attempted a message");
        let now = (self.clock)();
        if let Err(error) = finish_message(&self.pool, &self.relay, &claimed, &delivery, now).await {
            tracing::warn!(
                error = chassis::error::chain(&error),
                message_id = claimed.message_id,
                "the outcome could not be noted; the message is sent again when its lease ends"
            );
        }
    }

    async fn send(&self, claimed: &Claimed) -> Delivery {
        let sms =
            Sms { client_reference: claimed.message_id, to: &claimed.phone_no, text: body(claimed.kind) };
        match tokio::time::timeout(SEND_TIMEOUT, self.gateway.send(sms)).await {
            Ok(Ok(())) => Delivery::Sent,
            Ok(Err(SendError::Refused(reason))) => Delivery::Failed { reason },
            Ok(Err(SendError::Unavailable(reason))) => Delivery::Postponed { reason },
            Err(_) => Delivery::Postponed { reason: "the gateway did not answer in time".to_owned() },
        }
    }
}
