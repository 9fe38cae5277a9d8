//! What comes in from the topics, and how far it has been dealt with.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use backon::ExponentialBackoff;
use chassis::pace::Pace;
use futures::FutureExt;
use futures::future::OptionFuture;
use metrics::gauge;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::time::Instant;

use crate::delivery::assignment::Assignment;
use crate::delivery::backoff;
use crate::delivery::broker::Broker;
use crate::delivery::metrics::HELD;
use crate::delivery::pace::pace;
use crate::delivery::received::{Origin, Received};
use crate::topic::Topic;

/// Of a batch of so many events more wait behind it.
pub(super) const FULL_BATCH: usize = 400;
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// The records of a consumer's partitions, batch by batch. A partition whose next event failed for now is held:
/// paused, while polling goes on and the others are read, until it is due again.
pub(super) struct Inflow<'b> {
    broker: &'b Broker,
    consumer: StreamConsumer<Assignment>,
    held: HashMap<Origin, Held>,
    pace: Pace,
    next_start: Instant,
}

struct Held {
    events: Vec<Received>,
    delays: ExponentialBackoff,
    due: Instant,
}

impl<'b> Inflow<'b> {
    /// Joins the group. A batch follows one that was not full so long after its start at least.
    pub(super) fn open(broker: &'b Broker, topics: &[Topic], shortest_pace: Duration) -> KafkaResult<Self> {
        let consumer = broker.consumer(topics, shortest_pace)?;
        let names: Vec<String> = topics.iter().map(|topic| broker.topic_name(*topic)).collect();
        consumer.subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(Self {
            broker,
            consumer,
            held: HashMap::new(),
            pace: pace(shortest_pace),
            next_start: Instant::now(),
        })
    }

    /// Waits until there is something to do: new events, or those of a held partition that are due again.
    pub(super) async fn next_batch(&mut self) -> Vec<Received> {
        loop {
            if let Some(due) = self.take_due() {
                return due;
            }
            let next_due = self.held.values().map(|held| held.due).min();
            let waiting = OptionFuture::from(next_due.map(tokio::time::sleep_until));
            tokio::select! {
                event = self.receive() => {
                    tokio::time::sleep_until(self.next_start).await;
                    let start = Instant::now();
                    let batch = self.collect(event);
                    if batch.len() < FULL_BATCH {
                        self.next_start = start + self.pace.after(batch.len());
                    }
                    if !batch.is_empty() {
                        return batch;
                    }
                }
                Some(()) = waiting => {}
            }
        }
    }

    /// Takes along what is there already. What comes of a held partition waits with the rest of it.
    fn collect(&mut self, first: Received) -> Vec<Received> {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(event) = next {
            match self.held.get_mut(&event.origin()) {
                Some(held) => {
                    let origin = event.origin();
                    held.events.push(event);
                    self.set_paused(origin, true);
                }
                None => batch.push(event),
            }
            next = if batch.len() < FULL_BATCH { self.receive().now_or_never() } else { None };
        }
        batch
    }

    /// The events of a held partition that is due. One that went to another replica is forgotten.
    fn take_due(&mut self) -> Option<Vec<Received>> {
        let now = Instant::now();
        while let Some(origin) = self.held.iter().find(|(_, held)| held.due <= now).map(|(origin, _)| *origin)
        {
            let held = self.held.get_mut(&origin)?;
            held.due = now + LONGEST_DELAY;
            let events = mem::take(&mut held.events);
            if self.is_assigned(origin) {
                return Some(events);
            }
            self.held.remove(&origin);
            self.show_held();
        }
        None
    }

    /// Stores what of a batch was dealt with, holds the partitions of what was not, and lets the others go on.
    pub(super) fn conclude(&mut self, batch: &[Received], failed: Vec<Received>) {
        let mut from: HashMap<Origin, i64> = HashMap::new();
        for event in &failed {
            from.entry(event.origin()).or_insert(event.offset);
        }
        let is_done =
            |event: &&Received| from.get(&event.origin()).is_none_or(|failed| event.offset < *failed);
        self.store(batch.iter().filter(is_done));
        for event in batch.iter().filter(|event| !from.contains_key(&event.origin())) {
            if self.held.remove(&event.origin()).is_some() {
                self.set_paused(event.origin(), false);
            }
        }
        self.hold(failed);
        for origin in from.into_keys() {
            self.set_paused(origin, true);
        }
        self.show_held();
    }

    fn show_held(&self) {
        gauge!(HELD).set(self.held.len() as f64);
    }

    fn hold(&mut self, failed: Vec<Received>) {
        let now = Instant::now();
        let mut again: HashMap<Origin, Vec<Received>> = HashMap::new();
        for event in failed {
            again.entry(event.origin()).or_default().push(event);
        }
        for (origin, events) in again {
            let held = self.held.entry(origin).or_insert_with(|| Held {
                events: Vec::new(),
                delays: backoff::endless(),
                due: now,
            });
            held.due = now + held.delays.next().unwrap_or(LONGEST_DELAY);
            held.events = events;
        }
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

    fn is_assigned(&self, (topic, partition): Origin) -> bool {
        let name = self.broker.topic_name(topic);
        self.consumer.assignment().is_ok_and(|all| all.find_partition(&name, partition).is_some())
    }

    fn set_paused(&self, (topic, partition): Origin, paused: bool) {
        let mut one = TopicPartitionList::with_capacity(1);
        one.add_partition(&self.broker.topic_name(topic), partition);
        let changed = if paused { self.consumer.pause(&one) } else { self.consumer.resume(&one) };
        if let Err(error) = changed {
            tracing::warn!(%error, %topic, partition, paused, "a partition could not be paused or resumed");
        }
    }

    /// Notes how far this group has come; the client commits it soon. What is not committed only comes twice.
    fn store<'e>(&self, done: impl Iterator<Item = &'e Received>) {
        let mut next: HashMap<Origin, i64> = HashMap::new();
        for event in done {
            next.insert(event.origin(), event.offset + 1);
        }
        if next.is_empty() {
            return;
        }
        let mut offsets = TopicPartitionList::with_capacity(next.len());
        let added = next.into_iter().try_for_each(|((topic, partition), offset)| {
            offsets.add_partition_offset(&self.broker.topic_name(topic), partition, Offset::Offset(offset))
        });
        if let Err(error) = added.and_then(|()| self.consumer.store_offsets(&offsets)) {
            tracing::warn!(%error, "offsets could not be stored: these partitions have gone to another replica");
        }
    }

    /// Leaves the group, so that the others take over at once. Closing blocks until the broker has answered.
    pub(super) async fn leave(mut self) {
        self.held.clear();
        self.show_held();
        let consumer = self.consumer;
        if tokio::task::spawn_blocking(move || drop(consumer)).await.is_err() {
            tracing::warn!("the consumer did not close cleanly");
        }
    }
}
