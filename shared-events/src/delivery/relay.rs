//! Publishes the outbox in order. One relay per service is active; the others wait for its lock.

mod lock;

use std::collections::VecDeque;
use std::future;
use std::time::{Duration, Instant};

use chassis::error::chain;
use chassis::pace::Pace;
use futures::FutureExt;
use metrics::{counter, gauge};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer, PurgeConfig};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use self::lock::RelayLock;
use super::DeliveryError;
use super::backoff;
use super::broker::Broker;
use super::metrics::{RELAY_ACTIVE, RELAY_FAILURES, RELAYED};
use super::outbox::Waiting;
use super::pace::pace;
use super::wake::Wake;
use crate::topic::Topic;

const BATCH: usize = 1_000;
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// At which the next pass follows one that was not full.
const PACE: Pace = pace(Duration::from_millis(2));
/// A relay that ran for so long before it failed starts again with the shortest delay.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// How long the rows that are left may take at shutdown; a broker that is away must not hold it up.
const LAST_PASS: Duration = Duration::from_secs(2);

/// Moves events from the outbox to their topics.
#[derive(Clone, Debug)]
pub(super) struct Relay {
    broker: Broker,
    pool: PgPool,
    wake: Wake,
}

impl Relay {
    /// Publishes nothing yet. `wake` is what use cases call after their commit.
    pub(super) fn new(broker: Broker, pool: PgPool, wake: Wake) -> Self {
        Self { broker, pool, wake }
    }

    /// Runs until cancelled, then publishes what is left if the broker is there.
    ///
    /// # Errors
    /// When the topics do not fit.
    pub(super) async fn run(self, token: CancellationToken) -> Result<(), DeliveryError> {
        if !self.broker.topics_ready(&token).await? {
            return Ok(());
        }
        let mut delays = backoff::endless();
        loop {
            let start = Instant::now();
            let Err(error) = self.lead(&token).await else { return Ok(()) };
            counter!(RELAY_FAILURES).increment(1);
            tracing::warn!(error = chain(&error), "the relay failed; starting again from the first row");
            if start.elapsed() > HEALTHY_AFTER {
                delays = backoff::endless();
            }
            let pause = tokio::time::sleep(delays.next().unwrap_or(LAST_PASS));
            if token.run_until_cancelled(pause).await.is_none() {
                return Ok(());
            }
        }
    }

    /// Takes the lock and relays until cancelled.
    async fn lead(&self, token: &CancellationToken) -> Result<(), DeliveryError> {
        let Some(mut lock) = RelayLock::acquire(&self.pool, self.broker.service(), token).await? else {
            return Ok(());
        };
        tracing::info!("this replica relays the outbox");
        let active = Active::begin();
        let producer = self.broker.producer()?;
        let relayed = tokio::select! {
            relayed = self.relay(&mut lock, &producer, token) => relayed,
            () = last_pass_over(token) => Ok(()),
        };
        discard(producer).await;
        drop(active);
        lock.release().await;
        relayed
    }

    /// A pass does not wait until the broker has what the one before handed over, unless there is a full batch more of it.
    async fn relay(
        &self,
        lock: &mut RelayLock,
        producer: &FutureProducer,
        token: &CancellationToken,
    ) -> Result<(), DeliveryError> {
        let source = self.broker.source();
        let mut in_flight = InFlight::default();
        loop {
            let start = tokio::time::Instant::now();
            let is_last_pass = token.is_cancelled();
            in_flight.take_confirmed()?;
            let rows = lock.advance(&in_flight.confirmed, &in_flight.ids(), BATCH, &source).await?;
            in_flight.confirmed.clear();
            let had_room = self.hand_over(producer, &rows, &mut in_flight)?;
            let is_full = rows.len() == BATCH || in_flight.reports.len() > BATCH;
            if is_full || is_last_pass {
                let may_stay = if is_full && had_room { BATCH } else { 0 };
                tokio::select! {
                    landed = in_flight.land(may_stay) => landed?,
                    error = lock.lost() => return Err(error),
                }
            }
            if is_full {
                continue;
            }
            if is_last_pass {
                lock.delete(&in_flight.confirmed).await?;
                // What others still write is for the next replica.
                return Ok(());
            }
            if !rows.is_empty() || !in_flight.reports.is_empty() {
                let next_pass = start + PACE.after(rows.len());
                token.run_until_cancelled(tokio::time::sleep_until(next_pass)).await;
            }
            tokio::select! {
                () = self.wake.woken() => {}
                confirmed = in_flight.confirm() => confirmed?,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = token.cancelled() => {}
            }
        }
    }

    /// Hands rows to the producer in their order, as long as it has room; returns whether it had for all of them.
    fn hand_over(
        &self,
        producer: &FutureProducer,
        rows: &[Waiting],
        in_flight: &mut InFlight,
    ) -> Result<bool, DeliveryError> {
        for row in rows {
            let topic = self.topic_name(row)?;
            let record = FutureRecord::to(&topic)
                .key(&row.key)
                .payload(&row.payload)
                .headers(row.envelope.to_headers());
            match producer.send_result(record) {
                Ok(report) => in_flight.reports.push_back((row.id, report)),
                // The rest is for a later pass.
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => return Ok(false),
                Err((error, _)) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn topic_name(&self, row: &Waiting) -> Result<String, DeliveryError> {
        let topic = Topic::ALL.into_iter().find(|topic| topic.suffix() == row.topic);
        topic
            .map(|topic| self.broker.topic_name(topic))
            .ok_or_else(|| DeliveryError::UnknownTopic(row.topic.clone()))
    }
}

/// What was handed to the producer and is still in the outbox.
#[derive(Default)]
struct InFlight {
    /// In the order in which it was handed over.
    reports: VecDeque<(i64, DeliveryFuture)>,
    /// What the broker has.
    confirmed: Vec<i64>,
}

impl InFlight {
    /// What the broker is not known to have.
    fn ids(&self) -> Vec<i64> {
        self.reports.iter().map(|(id, _)| *id).collect()
    }

    /// Waits until the broker has the first row. Any failure is the failure of all.
    async fn confirm(&mut self) -> Result<(), DeliveryError> {
        let Some((_, report)) = self.reports.front_mut() else { return future::pending().await };
        let report = report.await;
        self.note(report)
    }

    /// Notes what the broker is known to have by now.
    fn take_confirmed(&mut self) -> Result<(), DeliveryError> {
        while let Some(report) = self.reports.front_mut().and_then(|(_, report)| report.now_or_never()) {
            self.note(report)?;
        }
        Ok(())
    }

    /// Notes the report of the first row.
    fn note(&mut self, report: <DeliveryFuture as Future>::Output) -> Result<(), DeliveryError> {
        report.map_err(|_| DeliveryError::ReportLost)?.map_err(|(error, _)| error)?;
        self.confirmed.extend(self.reports.pop_front().map(|(id, _)| id));
        counter!(RELAYED).increment(1);
        Ok(())
    }

    /// Waits until the broker has all of it but for so many rows.
    async fn land(&mut self, may_stay: usize) -> Result<(), DeliveryError> {
        while self.reports.len() > may_stay {
            self.confirm().await?;
        }
        Ok(())
    }
}

/// Shows that this replica relays, for as long as it does.
struct Active;

impl Active {
    fn begin() -> Self {
        gauge!(RELAY_ACTIVE).set(1);
        Self
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        gauge!(RELAY_ACTIVE).set(0);
    }
}

async fn last_pass_over(token: &CancellationToken) {
    token.cancelled().await;
    tokio::time::sleep(LAST_PASS).await;
}

/// Forgets what is in flight before somebody else may start from the first row. Blocks until the client is gone.
async fn discard(producer: FutureProducer) {
    let discarding = move || producer.purge(PurgeConfig::default().queue().inflight());
    if tokio::task::spawn_blocking(discarding).await.is_err() {
        tracing::warn!("the producer did not close cleanly");
    }
}

#[cfg(test)]
mod tests;
