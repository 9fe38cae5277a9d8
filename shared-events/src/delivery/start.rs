//! Puts a service's delivery under the chassis' supervision.

use chassis::{Runtime, TaskError};

use super::broker::Broker;
use super::consumer::{Consumer, ConsumerOptions};
use super::inbox;
use super::metrics;
use super::outbox;
use super::parked;
use super::received::EventHandler;
use super::relay::Relay;
use super::settings::KafkaSettings;
use super::wake::Wake;
use crate::topic::Topic;

/// A service's part in the exchange of events.
#[derive(Clone, Debug)]
pub struct Delivery {
    broker: Broker,
    runtime: Runtime,
}

impl Delivery {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(runtime: &Runtime, kafka: KafkaSettings) -> Self {
        Self { broker: Broker::new(runtime.service.name, kafka), runtime: runtime.clone() }
    }

    /// Starts the relay. Returns what wakes it: to be called after each commit that published something.
    #[must_use]
    pub fn publish(&self) -> Wake {
        metrics::start_publishing();
        let wake = Wake::new();
        let relay = Relay::new(self.broker.clone(), self.runtime.pool.clone(), wake.clone());
        self.runtime.supervisor.spawn("outbox-relay", move |token| {
            let relay = relay.clone();
            async move { relay.run(token).await.map_err(|error| TaskError::new(error.is_fatal(), error)) }
        });
        let pool = self.runtime.pool.clone();
        self.runtime.supervisor.spawn("outbox-depth", move |token| {
            let pool = pool.clone();
            async move {
                let watching = outbox::watch_depth(&pool);
                Ok(token.run_until_cancelled(watching).await.unwrap_or(Ok(()))?)
            }
        });
        wake
    }

    /// Starts the consumer. `wakes` are tasks that may have something to do after a commit: the relay, a worker.
    pub fn subscribe(&self, topics: &'static [Topic], wakes: Vec<Wake>, handler: impl EventHandler) {
        metrics::start_subscribing(topics);
        let pool = self.runtime.pool.clone();
        let options = ConsumerOptions { topics, wakes };
        let consumer = Consumer::new(self.broker.clone(), pool.clone(), options, handler);
        self.runtime.supervisor.spawn("consumer", move |token| {
            let consumer = consumer.clone();
            async move { consumer.run(token).await.map_err(|error| TaskError::new(error.is_fatal(), error)) }
        });
        let inbox = pool.clone();
        self.runtime.supervisor.spawn("inbox-purge", move |token| {
            let pool = inbox.clone();
            async move { Ok(token.run_until_cancelled(inbox::purge_forever(&pool)).await.unwrap_or(Ok(()))?) }
        });
        self.runtime.supervisor.spawn("parked-depth", move |token| {
            let pool = pool.clone();
            async move {
                let watching = parked::watch_depth(&pool, topics);
                Ok(token.run_until_cancelled(watching).await.unwrap_or(Ok(()))?)
            }
        });
    }
}
