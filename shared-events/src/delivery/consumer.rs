//! Reads topics and hands the events over, in order: parking ⊃ retry ⊃ timeout ⊃ handler.

mod inflow;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chassis::error::chain;
use metrics::counter;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use self::inflow::{FULL_BATCH, Inflow};
use super::DeliveryError;
use super::batch;
use super::broker::Broker;
use super::failure::HandlerError;
use super::metrics::RETRIED;
use super::received::{EventHandler, Received};
use super::wake::Wake;
use crate::topic::Topic;

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
pub(super) struct Cancelled;

impl<H: EventHandler> Consumer<H> {
    /// Reads nothing yet.
    pub(super) fn new(broker: Broker, pool: PgPool, options: ConsumerOptions, handler: H) -> Self {
        Self { broker, pool, options, handler: Arc::new(handler) }
    }

    /// Runs until cancelled.
    ///
    /// # Errors
    /// When the topics do not fit or the client cannot be made.
    pub(super) async fn run(self, token: CancellationToken) -> Result<(), DeliveryError> {
        if !self.broker.topics_ready(&token).await? {
            return Ok(());
        }
        let mut inflow = Inflow::open(&self.broker, self.options.topics, self.handler.pace())?;
        while let Some(batch) = token.run_until_cancelled(inflow.next_batch()).await {
            let Ok(failed) = self.settle(&batch, &token).await else { break };
            inflow.conclude(&batch, failed);
        }
        inflow.leave().await;
        Ok(())
    }

    /// Handles or parks what can be. Returns what has to be tried again later: of each partition the first event
    /// that failed for now and those behind it, so that no partition waits for another.
    ///
    /// A full batch is handled on two connections, members of even ids beside the others. What the one has done behind a
    /// failure of the other comes again with it, so that its offset is stored in the end, and the inbox skips it.
    pub(super) async fn settle(
        &self,
        batch: &[Received],
        token: &CancellationToken,
    ) -> Result<Vec<Received>, Cancelled> {
        let concerned: Vec<&Received> =
            batch.iter().filter(|event| batch::concerns(&*self.handler, event)).collect();
        if batch.len() < FULL_BATCH {
            return self.settle_in_order(concerned, token).await;
        }
        let (even, odd) = concerned.iter().partition(|event| event.has_even_key());
        let (even, odd) = tokio::join!(self.settle_in_order(even, token), self.settle_in_order(odd, token));
        let failed = [even?, odd?].concat();
        let has_to_come_again = |event: &&Received| {
            failed.iter().any(|first| first.origin() == event.origin() && first.offset <= event.offset)
        };
        Ok(concerned.into_iter().filter(has_to_come_again).cloned().collect())
    }

    /// Handles or parks what can be of events, together if none of them fails.
    async fn settle_in_order(
        &self,
        batch: Vec<&Received>,
        token: &CancellationToken,
    ) -> Result<Vec<Received>, Cancelled> {
        if batch.len() > 1 && attempt(token, self.handle(&batch)).await?.is_ok() {
            return Ok(Vec::new());
        }
        let mut failed: Vec<Received> = Vec::new();
        for event in batch {
            let is_behind = failed.iter().any(|earlier| earlier.origin() == event.origin());
            if is_behind || !self.settle_one(event, token).await? {
                failed.push(event.clone());
            }
        }
        Ok(failed)
    }

    /// Whether the event is handled or parked now.
    async fn settle_one(&self, event: &Received, token: &CancellationToken) -> Result<bool, Cancelled> {
        let mut outcome = attempt(token, self.handle(&[event])).await?;
        if let Err(HandlerError::Permanent(error)) = outcome {
            outcome = attempt(token, self.park(event, &chain(&*error))).await?;
        }
        let Err(error) = outcome else { return Ok(true) };
        counter!(RETRIED).increment(1);
        tracing::warn!(error = chain(&error), "an event cannot be handled for now; trying again");
        Ok(false)
    }

    async fn handle(&self, events: &[&Received]) -> Result<(), HandlerError> {
        let mut connection = self.pool.acquire().await?;
        batch::handle(&mut connection, &*self.handler, events).await?;
        self.options.wakes.iter().for_each(Wake::wake);
        Ok(())
    }

    async fn park(&self, event: &Received, reason: &str) -> Result<(), HandlerError> {
        let mut connection = self.pool.acquire().await?;
        batch::park(&mut connection, event, reason).await
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

#[cfg(test)]
mod tests;
