//! Publishes the outbox in order. One relay per service is active; the others wait for its lock.

use std::time::Duration;

use chassis::error::chain;
use metrics::{counter, gauge};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer, PurgeConfig};
use sqlx::{Connection, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use super::backoff;
use super::broker::Broker;
use super::outbox::{self, Waiting};
use super::wake::Wake;
use super::{DeliveryError, TopicsError};
use crate::topic::Topic;

const BATCH: i64 = 500;
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const LOCK_RETRY: Duration = Duration::from_millis(500);
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
        while let Err(error) = self.lead(&token).await {
            counter!("outbox_relay_failures_total").increment(1);
            tracing::warn!(error = chain(&error), "the relay failed; starting again from the first row");
            tokio::select! {
                () = tokio::time::sleep(delays.next().unwrap_or(LAST_PASS)) => {}
                () = token.cancelled() => break,
            }
        }
        Ok(())
    }

    /// Takes the lock and relays until cancelled. The lock lives and dies with its own connection.
    async fn lead(&self, token: &CancellationToken) -> Result<(), DeliveryError> {
        let mut connection = PgConnection::connect_with(&self.pool.connect_options()).await?;
        if !wait_for_lock(&mut connection, self.broker.service(), token).await? {
            return Ok(connection.close().await?);
        }
        tracing::info!("this replica relays the outbox");
        gauge!("outbox_relay_active").set(1);
        let producer = self.broker.producer()?;
        let relayed = tokio::select! {
            relayed = self.relay(&mut connection, &producer, token) => relayed,
            () = last_pass_over(token) => Ok(()),
        };
        gauge!("outbox_relay_active").set(0);
        producer.purge(PurgeConfig::default().queue().inflight());
        relayed
    }

    async fn relay(
        &self,
        connection: &mut PgConnection,
        producer: &FutureProducer,
        token: &CancellationToken,
    ) -> Result<(), DeliveryError> {
        loop {
            let rows = outbox::oldest(connection, BATCH, &self.broker.source()).await?;
            if !rows.is_empty() {
                let delivered = self.publish(producer, &rows).await?;
                outbox::delete(connection, &delivered).await?;
                continue;
            }
            if token.is_cancelled() {
                return Ok(());
            }
            tokio::select! {
                () = self.wake.woken() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = token.cancelled() => {}
            }
        }
    }

    /// Produces the rows in order and returns those that the broker has. Any failure is the failure of the batch.
    async fn publish(&self, producer: &FutureProducer, rows: &[Waiting]) -> Result<Vec<i64>, DeliveryError> {
        let mut reports = Vec::with_capacity(rows.len());
        for row in rows {
            let topic = self.topic_name(row)?;
            let record = FutureRecord::to(&topic)
                .key(&row.key)
                .payload(&row.payload)
                .headers(row.envelope.to_headers());
            match producer.send_result(record) {
                Ok(report) => reports.push((row.id, report)),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => break,
                Err((error, _)) => return Err(error.into()),
            }
        }
        let mut delivered = Vec::with_capacity(reports.len());
        for (id, report) in reports {
            report.await.map_err(|_| DeliveryError::ReportLost)?.map_err(|(error, _)| error)?;
            delivered.push(id);
        }
        counter!("outbox_relayed_total").increment(delivered.len() as u64);
        Ok(delivered)
    }

    fn topic_name(&self, row: &Waiting) -> Result<String, TopicsError> {
        let topic = Topic::ALL.into_iter().find(|topic| topic.suffix() == row.topic);
        topic
            .map(|topic| self.broker.topic_name(topic))
            .ok_or_else(|| TopicsError::Unknown(row.topic.clone()))
    }
}

async fn last_pass_over(token: &CancellationToken) {
    token.cancelled().await;
    tokio::time::sleep(LAST_PASS).await;
}

/// Polls for the lock, so that no session waits inside Postgres. `false` when cancelled.
async fn wait_for_lock(
    connection: &mut PgConnection,
    service: &str,
    token: &CancellationToken,
) -> sqlx::Result<bool> {
    let lock = format!("outbox-relay:{service}");
    loop {
        let acquired = sqlx::query_scalar!(
            r#"SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS "acquired!""#,
            lock
        )
        .fetch_one(&mut *connection)
        .await?;
        if acquired {
            return Ok(true);
        }
        tokio::select! {
            () = tokio::time::sleep(LOCK_RETRY) => {}
            () = token.cancelled() => return Ok(false),
        }
    }
}
