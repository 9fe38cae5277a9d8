//! One service's door to Kafka.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::StreamConsumer;
use rdkafka::error::KafkaResult;
use rdkafka::producer::FutureProducer;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::assignment::Assignment;
use super::pace::AT_LEISURE;
use super::settings::{CONSUMER_GUARANTEES, KafkaSettings, PRODUCER_GUARANTEES, Properties};
use super::topics::{self, TopicsError};
use crate::topic::Topic;

const PRODUCER_DEFAULTS: Properties = &[
    ("compression.type", "none"),
    ("linger.ms", "0"),
    ("message.timeout.ms", "30000"),
    ("queue.buffering.max.kbytes", "16384"),
];

const CONSUMER_DEFAULTS: Properties = &[
    ("session.timeout.ms", "10000"),
    ("queued.max.messages.kbytes", "8192"),
    ("fetch.queue.backoff.ms", "10"),
    ("statistics.interval.ms", "5000"),
    ("topic.metadata.refresh.interval.ms", "30000"),
];

/// Each record is fetched as soon as it is there.
const AT_ONCE: Properties = &[("fetch.min.bytes", "1"), ("fetch.wait.max.ms", "100")];

/// The broker collects first, which saves it a request for each record.
const COLLECTED: Properties = &[("fetch.min.bytes", "100000"), ("fetch.wait.max.ms", "50")];

/// Makes the clients of one service, once the topics are known to be as the contract says.
#[derive(Clone, Debug)]
pub(super) struct Broker {
    service: &'static str,
    settings: Arc<KafkaSettings>,
    topics_checked: Arc<OnceCell<()>>,
}

impl Broker {
    /// Connects to nothing yet.
    pub(super) fn new(service: &'static str, settings: KafkaSettings) -> Self {
        Self { service, settings: Arc::new(settings), topics_checked: Arc::default() }
    }

    /// The CloudEvents source of this service's events, such as `/member`.
    pub(super) fn source(&self) -> String {
        format!("/{}", self.service)
    }

    pub(super) fn service(&self) -> &'static str {
        self.service
    }

    pub(super) fn topic_name(&self, topic: Topic) -> String {
        topic.name(&self.settings.topic_prefix)
    }

    pub(super) fn topic_of(&self, name: &str) -> Option<Topic> {
        Topic::from_name(&self.settings.topic_prefix, name)
    }

    /// Creates the topics that are absent and checks those that are there, waiting for as long as the broker is
    /// away. Done once per process. `false` when cancelled before that.
    pub(super) async fn topics_ready(&self, token: &CancellationToken) -> Result<bool, TopicsError> {
        let check = self.topics_checked.get_or_try_init(|| topics::ensure(&self.settings, self.service));
        tokio::select! {
            checked = check => checked.map(|()| true),
            () = token.cancelled() => Ok(false),
        }
    }

    /// A producer that neither loses, doubles nor reorders what it is given.
    pub(super) fn producer(&self) -> KafkaResult<FutureProducer> {
        self.settings.client_config(self.service, &[PRODUCER_DEFAULTS], PRODUCER_GUARANTEES).create()
    }

    /// A consumer of these topics in this service's group, whose offsets move only when it says so. How soon it has a record
    /// depends on the pace of its batches.
    pub(super) fn consumer(
        &self,
        topics: &[Topic],
        pace: Duration,
    ) -> KafkaResult<StreamConsumer<Assignment>> {
        let settings = &self.settings;
        let group = settings
            .consumer_group
            .clone()
            .unwrap_or_else(|| format!("{}.{}", settings.topic_prefix, self.service));
        let fetching = if pace < AT_LEISURE { AT_ONCE } else { COLLECTED };
        settings
            .client_config(self.service, &[CONSUMER_DEFAULTS, fetching], CONSUMER_GUARANTEES)
            .set("group.id", group)
            .create_with_context(Assignment::new(&settings.topic_prefix, topics))
    }
}
