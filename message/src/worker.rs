//! Sends what is queued: claims, sends outside any transaction, notes the outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use chassis::error::chain;
use chrono::{DateTime, TimeDelta, Utc};
use shared_events::delivery::Wake;
use sqlx::PgPool;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{Delivery, KoreanMobile, RetryBudget, Texts};
use crate::gateway::{Accepted, SendError, Sms, SmsGateway};
use crate::metrics;
use crate::store::queue::{Claimed, Lease};
use crate::store::{DATABASE_TIMEOUT, in_time};
use crate::usecase::claim_messages::{Claims, SpendingGuard, claim_messages};
use crate::usecase::finish_message::{Finisher, outcome};

/// How long a claim holds. Longer than all that its owner does meanwhile, so that a live owner is not overtaken.
const LEASE: TimeDelta = TimeDelta::seconds(45);
/// Longest exchange with the gateway. There are two where an earlier attempt may have been accepted.
pub const LONGEST_EXCHANGE: Duration = Duration::from_secs(8);
/// How long to try to note an outcome: what is not noted may be sent twice.
const NOTE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long to go on trying once the worker is to stop. With an exchange less than the grace of a shutdown.
const LAST_NOTE_TIMEOUT: Duration = Duration::from_secs(3);
const _: () = assert!(
    DATABASE_TIMEOUT.as_secs() + 2 * LONGEST_EXCHANGE.as_secs() + NOTE_TIMEOUT.as_secs()
        < LEASE.num_seconds().unsigned_abs()
);

/// How often to look without being woken: for leases that ended and attempts that are due again.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// One part in so many of the places has to be free before more is claimed, so that under load a claim takes many
/// messages in its round trips and not one.
const CLAIM_SHARE: usize = 8;

/// Sends what is queued, many messages at a time.
#[derive(Debug)]
pub struct Worker<G> {
    /// Connections as the serving role.
    pub pool: PgPool,
    /// What sends.
    pub gateway: G,
    /// How long an exchange with the gateway may take; [`LONGEST_EXCHANGE`] at most.
    pub timeout: Duration,
    /// Lets messages through as long as they are within limits.
    pub guard: SpendingGuard,
    /// How long a message is tried for.
    pub budget: RetryBudget,
    /// What messages say.
    pub texts: Texts,
    /// Wakes the worker when something was queued.
    pub wake: Wake,
    /// Notes what attempts came to.
    pub finisher: Finisher,
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
            let may_claim = free > 0 && free >= self.concurrency / CLAIM_SHARE;
            let Claims { claimed, may_be_more } =
                if may_claim { self.claim(free).await? } else { Claims::default() };
            for message in claimed {
                let (worker, token) = (Arc::clone(self), token.clone());
                sending.spawn(async move { worker.deliver(message, &token).await });
            }
            let has_room = sending.len() < self.concurrency;
            if may_be_more && has_room {
                continue;
            }
            tokio::select! {
                Some(joined) = sending.join_next() => log_panic(joined),
                () = self.wake.woken(), if has_room => {}
                () = sleep(POLL_INTERVAL), if has_room => {}
                () = token.cancelled() => {}
            }
        }
        Ok(())
    }

    async fn claim(&self, limit: usize) -> sqlx::Result<Claims> {
        let now = (self.clock)();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let lease = Lease { claim: Uuid::now_v7(), until: now + LEASE };
        in_time(claim_messages(&self.pool, &self.guard, lease, now, limit)).await
    }

    async fn deliver(&self, claimed: Claimed, token: &CancellationToken) {
        let delivery = self.send(&claimed).await;
        let outcome = match &delivery {
            Delivery::Sent { .. } => "sent",
            Delivery::Failed { .. } => "failed",
            Delivery::Postponed { .. } => "postponed",
        };
        metrics::attempted(claimed.kind, outcome);
        let (message_id, member_id) = (claimed.message_id, claimed.member_id);
        match &delivery {
            Delivery::Sent { .. } => tracing::debug!(message_id, %member_id, "sent a message"),
            Delivery::Failed { reason } | Delivery::Postponed { reason, .. } => {
                tracing::info!(message_id, %member_id, outcome, reason, "a message was not sent");
            }
        }
        self.note(claimed, delivery, token).await;
    }

    /// Notes the outcome, again and again while the database fails: the claim makes that idempotent.
    async fn note(&self, claimed: Claimed, delivery: Delivery, token: &CancellationToken) {
        let message_id = claimed.message_id;
        let outcome = outcome(&self.budget, claimed, delivery, (self.clock)(), rand::random());
        let outcome = Arc::new(outcome);
        let attempt = || self.finisher.finish(&outcome);
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
            message_id,
            "the outcome could not be noted; the message is sent again when its lease ends"
        );
    }

    async fn send(&self, claimed: &Claimed) -> Delivery {
        let to = match KoreanMobile::try_from(&claimed.phone_no) {
            Ok(to) => to,
            Err(error) => return Delivery::Failed { reason: error.to_string() },
        };
        let Some(text) = self.texts.of(claimed.kind, claimed.notice) else {
            let reason = "this version has no text for such a message".to_owned();
            return Delivery::Postponed {
                reason,
                retry_after: None,
                may_be_accepted: claimed.may_be_accepted,
            };
        };
        let sms = Sms { client_reference: claimed.message_id, to, text: &text, queued_at: claimed.queued_at };
        if claimed.may_be_accepted {
            match self.exchange("find", self.gateway.find(sms)).await {
                Ok(Some(accepted)) => return sent(accepted),
                Ok(None) => {}
                Err(error) => return not_sent(error, true),
            }
        }
        if claimed.notice.is_some_and(|notice| notice.expires_at <= (self.clock)()) {
            return Delivery::Failed { reason: "the points have expired".to_owned() };
        }
        match self.exchange("send", self.gateway.send(sms)).await {
            Ok(accepted) => sent(accepted),
            // What was not found may only not have been listed yet.
            Err(error) => not_sent(error, claimed.may_be_accepted),
        }
    }

    /// Measures an exchange with the gateway and ends it in time.
    async fn exchange<T>(
        &self,
        what: &'static str,
        answer: impl Future<Output = Result<T, SendError>>,
    ) -> Result<T, SendError> {
        let began = Instant::now();
        let answered = timeout(self.timeout, answer).await.unwrap_or_else(|_| {
            let reason = "the gateway did not answer in time".to_owned();
            Err(SendError::Unknown { reason, retry_after: None })
        });
        let outcome = match &answered {
            Ok(_) => "ok",
            Err(SendError::Refused { .. }) => "refused",
            Err(SendError::Unavailable { .. }) => "unavailable",
            Err(SendError::Unknown { .. }) => "unknown",
        };
        metrics::exchanged(what, outcome, began.elapsed());
        answered
    }
}

fn sent(Accepted { gateway_message_id }: Accepted) -> Delivery {
    Delivery::Sent { gateway_message_id }
}

/// Nobody knows of a message that was not found whether it is unsent.
fn not_sent(error: SendError, is_unsure: bool) -> Delivery {
    match error {
        SendError::Refused { reason } => Delivery::Failed { reason },
        SendError::Unavailable { reason, retry_after } => {
            Delivery::Postponed { reason, retry_after, may_be_accepted: is_unsure }
        }
        SendError::Unknown { reason, retry_after } => {
            Delivery::Postponed { reason, retry_after, may_be_accepted: true }
        }
    }
}

fn log_panic(joined: Result<(), JoinError>) {
    if let Err(error) = joined {
        tracing::error!(
            error = chain(&error),
            "sending broke off; the message is sent again when its lease ends"
        );
    }
}
