//! One service's door to Kafka.

use std::sync::Arc;

use rdkafka::consumer::StreamConsumer;
use rdkafka::error::KafkaResult;
use rdkafka::producer::FutureProducer;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::assignment::Assignment;
use super::settings::KafkaSettings;
use super::topics::{self, TopicsError};
use crate::topic::Topic;

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
        self.settings
            .client_config(self.service)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "none")
            .set("linger.ms", "0")
            .set("message.timeout.ms", "30000")
            .set("queue.buffering.max.kbytes", "16384")
            .create()
    }

    /// A consumer in this service's group whose offsets move only when it says so.
    pub(super) fn consumer(&self) -> KafkaResult<StreamConsumer<Assignment>> {
        let settings = &self.settings;
        let group = settings
            .consumer_group
            .clone()
            .unwrap_or_else(|| format!("{}.{}", settings.topic_prefix, self.service));
        settings
            .client_config(self.service)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("session.timeout.ms", "10000")
            .set("partition.assignment.strategy", "range,roundrobin")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "8192")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .create_with_context(Assignment::new())
    }
}
