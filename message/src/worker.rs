//! Sends what is queued: claims, sends outside any transaction, notes the outcome.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use chassis::error::chain;
use chrono::{DateTime, TimeDelta, Utc};
use metrics::counter;
use shared_events::delivery::Wake;
use sqlx::PgPool;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{Delivery, body};
use crate::gateway::{SendError, Sms, SmsGateway};
use crate::store::messages::{self, Claimed};
use crate::usecase::finish_message::finish_message;

/// How long a claim holds. Longer than all that its owner does meanwhile, so that a live owner is not overtaken.
const LEASE: TimeDelta = TimeDelta::seconds(30);
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to try to note an outcome: what is not noted is sent twice.
const NOTE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long to go on trying once the worker is to stop. With [`SEND_TIMEOUT`] less than the grace of a shutdown.
const LAST_NOTE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long Postgres may take to answer: a connection that leads nowhere never does.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(3);
const _: () = assert!(
    DATABASE_TIMEOUT.as_secs() + SEND_TIMEOUT.as_secs() + NOTE_TIMEOUT.as_secs()
        < LEASE.num_seconds().unsigned_abs()
);

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
        while let Some(joined) = sending.join_next().await {
            log_panic(joined);
        }
        outcome
    }

    async fn keep_sending(
        self: &Arc<Self>,
        sending: &mut JoinSet<()>,
        token: &CancellationToken,
    ) -> sqlx::Result<()> {
        while !token.is_cancelled() {
            while let Some(joined) = sending.try_join_next() {
                log_panic(joined);
            }
            let free = self.concurrency - sending.len();
            let claimed = if free > 0 { self.claim(free).await? } else { Vec::new() };
            let may_be_more = claimed.len() == free && free > 0;
            for message in claimed {
                let (worker, token) = (Arc::clone(self), token.clone());
                sending.spawn(async move { worker.deliver(message, &token).await });
            }
            if may_be_more && sending.len() < self.concurrency {
                continue;
            }
            tokio::select! {
                Some(joined) = sending.join_next() => log_panic(joined),
                () = self.wake.woken(), if sending.len() < self.concurrency => {}
                () = sleep(POLL_INTERVAL), if sending.len() < self.concurrency => {}
                () = token.cancelled() => {}
            }
        }
        Ok(())
    }

    async fn claim(&self, limit: usize) -> sqlx::Result<Vec<Claimed>> {
        let now = (self.clock)();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        in_time(messages::claim(&self.pool, Uuid::now_v7(), now, now + LEASE, limit)).await
    }

    async fn deliver(&self, claimed: Claimed, token: &CancellationToken) {
        let delivery = self.send(&claimed).await;
        let outcome = match &delivery {
            Delivery::Sent => "sent",
            Delivery::Failed { .. } => "failed",
            Delivery::Postponed { .. } => "postponed",
        };
        counter!("messages_attempted_total", "kind" => claimed.kind.as_str(), "outcome" => outcome)
            .increment(1);
        tracing::debug!(message_id = claimed.message_id, member_id = %claimed.member_id, outcome, "attempted a message");
        self.note(&claimed, &delivery, token).await;
    }

    /// Notes the outcome, again and again while the database fails: the claim makes that idempotent.
    async fn note(&self, claimed: &Claimed, delivery: &Delivery, token: &CancellationToken) {
        let now = (self.clock)();
        let attempt = || in_time(finish_message(&self.pool, &self.relay, claimed, delivery, now));
        let delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(2))
            .with_jitter()
            .without_max_times();
        let mut last_error = None;
        let noted = attempt.retry(delays).notify(|error, _| last_error = Some(chain(error)));
        tokio::select! {
            _ = noted => return,
            () = sleep(NOTE_TIMEOUT) => {}
            () = async { token.cancelled().await; sleep(LAST_NOTE_TIMEOUT).await } => {}
        }
        tracing::error!(
            error = last_error,
            message_id = claimed.message_id,
            "the outcome could not be noted; the message is sent again when its lease ends"
        );
    }

    async fn send(&self, claimed: &Claimed) -> Delivery {
        let sms =
            Sms { client_reference: claimed.message_id, to: &claimed.phone_no, text: body(claimed.kind) };
        match timeout(SEND_TIMEOUT, self.gateway.send(sms)).await {
            Ok(Ok(())) => Delivery::Sent,
            Ok(Err(SendError::Refused(reason))) => Delivery::Failed { reason },
            Ok(Err(SendError::Unavailable(reason))) => Delivery::Postponed { reason },
            Err(_) => Delivery::Postponed { reason: "the gateway did not answer in time".to_owned() },
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(DATABASE_TIMEOUT, answer).await.map_err(io::Error::from)?
}

fn log_panic(joined: Result<(), JoinError>) {
    if let Err(error) = joined {
        tracing::error!(
            error = chain(&error),
            "sending broke off; the message is sent again when its lease ends"
        );
    }
}
