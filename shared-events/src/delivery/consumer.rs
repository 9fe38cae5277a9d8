//! Reads topics and hands the events over, in order: parking ⊃ retry ⊃ timeout ⊃ handler.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use chassis::error::chain;
use futures::FutureExt;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::DeliveryError;
use super::assignment::Assignment;
use super::backoff;
use super::batch;
use super::broker::Broker;
use super::failure::HandlerError;
use super::received::{EventHandler, Received};
use super::wake::Wake;
use crate::topic::Topic;

/// How many events may share a transaction.
const MAX_BATCH: usize = 200;
/// How long one attempt at a batch may take; after it the attempt counts as failed for now.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// What a consumer reads and what it wakes.
#[derive(Clone, Debug)]
pub(super) struct ConsumerOptions {
    /// The topics to read.
    pub(super) topics: &'static [Topic],
    /// Tasks that may have something to do after a commit: the relay, a worker.
    pub(super) wakes: Vec<Wake>,
}

/// Feeds a service's policies from the topics.
#[derive(Debug)]
pub(super) struct Consumer<H> {
    broker: Broker,
    pool: PgPool,
    options: ConsumerOptions,
    handler: Arc<H>,
}

impl<H> Clone for Consumer<H> {
    fn clone(&self) -> Self {
        Self {
            broker: self.broker.clone(),
            pool: self.pool.clone(),
            options: self.options.clone(),
            handler: Arc::clone(&self.handler),
        }
    }
}

/// Shutdown was asked for. What was not committed comes again.
struct Cancelled;

impl<H: EventHandler> Consumer<H> {
    /// Reads nothing yet.
    pub(super) fn new(broker: Broker, pool: PgPool, options: ConsumerOptions, handler: H) -> Self {
        Self { broker, pool, options, handler: Arc::new(handler) }
    }

    /// Runs until cancelled.
    ///
    /// # Errors
    /// When the topics do not fit or the client fails for good.
    pub(super) async fn run(self, token: CancellationToken) -> Result<(), DeliveryError> {
        if !self.broker.topics_ready(&token).await? {
            return Ok(());
        }
        let consumer = self.broker.consumer()?;
        let topics: Vec<String> =
            self.options.topics.iter().map(|topic| self.broker.topic_name(*topic)).collect();
        consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;
        let mut inflow = Inflow { broker: &self.broker, consumer, carried: VecDeque::new() };
        while let Ok(batch) = inflow.next_batch(&token).await {
            if self.settle(&mut inflow, &batch, &token).await.is_err() {
                break;
            }
            inflow.commit(&batch);
        }
        inflow.leave().await;
        Ok(())
    }

    /// Returns when every event is either handled or parked. A batch that fails, for whatever reason, is taken apart:
    /// what can be handled is, and only the event at fault is waited for or parked.
    async fn settle(
        &self,
        inflow: &mut Inflow<'_>,
        events: &[Received],
        token: &CancellationToken,
    ) -> Result<(), Cancelled> {
        if let [event] = events {
            return self.settle_one(inflow, event, token).await;
        }
        match attempt(token, self.handle(events)).await? {
            Ok(()) => Ok(()),
            Err(_) => {
                for event in events {
                    self.settle_one(inflow, event, token).await?;
                }
                Ok(())
            }
        }
    }

    async fn settle_one(
        &self,
        inflow: &mut Inflow<'_>,
        event: &Received,
        token: &CancellationToken,
    ) -> Result<(), Cancelled> {
        let handled = retrying(inflow, token, || self.handle(slice::from_ref(event)));
        if let Err(reason) = handled.await? {
            let parked = retrying(inflow, token, || self.park(event, &reason));
            parked.await?.expect("a failure to park is always transient");
        }
        Ok(())
    }

    async fn handle(&self, events: &[Received]) -> Result<(), HandlerError> {
        let mut connection = self.pool.acquire().await?;
        batch::handle(&mut connection, &*self.handler, events).await?;
        self.options.wakes.iter().for_each(Wake::wake);
        Ok(())
    }

    /// Every failure is one to be tried again: an event that is neither handled nor parked would be lost.
    async fn park(&self, event: &Received, reason: &str) -> Result<(), HandlerError> {
        let parked = async {
            let mut connection = self.pool.acquire().await?;
            batch::park(&mut connection, event, reason).await
        };
        parked.await.map_err(|error: HandlerError| HandlerError::Transient(error.into()))
    }
}

/// One attempt within its time. Cancelled, it is rolled back.
async fn attempt<T>(
    token: &CancellationToken,
    work: impl Future<Output = Result<T, HandlerError>>,
) -> Result<Result<T, HandlerError>, Cancelled> {
    let in_time = async {
        let elapsed = |elapsed| Err(HandlerError::Transient(Box::new(elapsed)));
        tokio::time::timeout(ATTEMPT_TIMEOUT, work).await.unwrap_or_else(elapsed)
    };
    token.run_until_cancelled(in_time).await.ok_or(Cancelled)
}

/// Tries for as long as the failure is transient, with the partitions paused in between. The inner error says
/// why it will never succeed.
async fn retrying<F, Fut>(
    inflow: &mut Inflow<'_>,
    token: &CancellationToken,
    mut work: F,
) -> Result<Result<(), String>, Cancelled>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<(), HandlerError>>,
{
    let mut delays = backoff::endless();
    loop {
        let failure = match attempt(token, work()).await? {
            Ok(()) => return Ok(Ok(())),
            Err(HandlerError::Permanent(error)) => return Ok(Err(chain(&*error))),
            Err(HandlerError::Transient(error)) => error,
        };
        metrics::counter!("events_retried_total").increment(1);
        tracing::warn!(error = chain(&*failure), "an event cannot be handled for now; trying again");
        inflow.pause_for(delays.next().unwrap_or(ATTEMPT_TIMEOUT), token).await?;
    }
}

/// What comes in, and how far it has been dealt with.
struct Inflow<'b> {
    broker: &'b Broker,
    consumer: StreamConsumer<Assignment>,
    /// Records that arrived while an earlier batch was being retried.
    carried: VecDeque<Received>,
}

impl Inflow<'_> {
    /// Waits for an event and takes along what is there already.
    async fn next_batch(&mut self, token: &CancellationToken) -> Result<Vec<Received>, Cancelled> {
        let mut batch: Vec<Received> = self.carried.drain(..).collect();
        if batch.is_empty() {
            tokio::select! {
                event = self.receive() => batch.push(event),
                () = token.cancelled() => return Err(Cancelled),
            }
        }
        while batch.len() < MAX_BATCH
            && let Some(event) = self.receive().now_or_never()
        {
            batch.push(event);
        }
        Ok(batch)
    }

    async fn receive(&self) -> Received {
        loop {
            match self.consumer.recv().await {
                Ok(message) => {
                    if let Some(topic) = self.broker.topic_of(message.topic()) {
                        return Received::new(topic, &message);
                    }
                }
                Err(error) => tracing::warn!(%error, "Kafka reports a problem; the client goes on by itself"),
            }
        }
    }

    /// Waits while polling goes on, so that the group keeps this member.
    async fn pause_for(&mut self, delay: Duration, token: &CancellationToken) -> Result<(), Cancelled> {
        let deadline = tokio::time::sleep(delay);
        tokio::pin!(deadline);
        self.set_paused(true);
        loop {
            let event = tokio::select! {
                () = &mut deadline => break,
                () = token.cancelled() => return Err(Cancelled),
                event = self.receive() => event,
            };
            self.carried.push_back(event);
            self.set_paused(true);
        }
        self.set_paused(false);
        Ok(())
    }

    fn set_paused(&self, paused: bool) {
        let changed = self.consumer.assignment().and_then(|assignment| {
            if paused { self.consumer.pause(&assignment) } else { self.consumer.resume(&assignment) }
        });
        if let Err(error) = changed {
            tracing::warn!(%error, paused, "the partitions could not be paused or resumed");
        }
    }

    /// Tells Kafka how far this group has come. A commit that fails only makes events come twice.
    fn commit(&self, batch: &[Received]) {
        let mut next: HashMap<(Topic, i32), i64> = HashMap::new();
        for event in batch {
            next.insert((event.topic, event.partition), event.offset + 1);
        }
        let mut offsets = TopicPartitionList::with_capacity(next.len());
        let added = next.into_iter().try_for_each(|((topic, partition), offset)| {
            offsets.add_partition_offset(&self.broker.topic_name(topic), partition, Offset::Offset(offset))
        });
        if let Err(error) = added.and_then(|()| self.consumer.commit(&offsets, CommitMode::Async)) {
            tracing::warn!(%error, "offsets could not be committed");
        }
    }

    /// Leaves the group, so that the others take over at once. Closing blocks until the broker has answered.
    async fn leave(self) {
        let consumer = self.consumer;
        if tokio::task::spawn_blocking(move || drop(consumer)).await.is_err() {
            tracing::warn!("the consumer did not close cleanly");
        }
    }
}

#[cfg(test)]
mod tests;
