//! Topics are created at start when absent, and checked when present.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::backoff;
use super::settings::KafkaSettings;
use crate::topic::Topic;

/// With three replicas an acknowledgement means that two have it: one lost disk loses no event.
const MIN_INSYNC_REPLICAS: (&str, &str) = ("min.insync.replicas", "2");
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The topics are there, but not as the contract says.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// Keys would map to other partitions, and one member's events lose their order.
    #[error(
        "topic {topic} has {found} partitions but TOPIC_PARTITIONS is {expected}; the count is fixed for life"
    )]
    PartitionCount {
        /// The topic's full name.
        topic: String,
        /// What it has.
        found: usize,
        /// What the settings say.
        expected: i32,
    },
    /// The broker will not create it, however often it is asked.
    #[error("topic {topic} cannot be created: {code}")]
    Refused {
        /// The topic's full name.
        topic: String,
        /// What the broker says.
        code: RDKafkaErrorCode,
    },
}

enum Failure {
    Mismatch(TopicsError),
    Unavailable(KafkaError),
}

/// Tries until the broker answers; ends with an error only when a topic does not fit.
pub(super) async fn ensure(settings: &KafkaSettings, client_id: &str) -> Result<(), TopicsError> {
    let mut delays = backoff::endless();
    loop {
        match ensure_once(settings, client_id).await {
            Ok(()) => return Ok(()),
            Err(Failure::Mismatch(error)) => return Err(error),
            Err(Failure::Unavailable(error)) => {
                tracing::warn!(%error, "Kafka is not available yet; trying again");
                tokio::time::sleep(delays.next().unwrap_or(REQUEST_TIMEOUT)).await;
            }
        }
    }
}

async fn ensure_once(settings: &KafkaSettings, client_id: &str) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> =
        settings.client_config(client_id, &[], &[]).create().map_err(Failure::Unavailable)?;
    let (admin, found) = partition_counts(admin, settings).await?;
    let absent: Vec<Topic> = Topic::ALL
        .into_iter()
        .zip(found)
        .filter(|(_, count)| count.is_none())
        .map(|(topic, _)| topic)
        .collect();
    if !absent.is_empty() {
        create(&admin, settings, &absent).await?;
    }
    let (_, found) = partition_counts(admin, settings).await?;
    for (topic, count) in Topic::ALL.into_iter().zip(found) {
        let count = count.ok_or_else(|| {
            Failure::Unavailable(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition))
        })?;
        if usize::try_from(settings.topic_partitions) != Ok(count) {
            return Err(Failure::Mismatch(TopicsError::PartitionCount {
                topic: topic.name(&settings.topic_prefix),
                found: count,
                expected: settings.topic_partitions,
            }));
        }
    }
    Ok(())
}

type Admin = AdminClient<DefaultClientContext>;

/// How many partitions each of [`Topic::ALL`] has; `None` where it does not exist.
async fn partition_counts(
    admin: Admin,
    settings: &KafkaSettings,
) -> Result<(Admin, Vec<Option<usize>>), Failure> {
    let names = Topic::ALL.map(|topic| topic.name(&settings.topic_prefix));
    let fetch = move || {
        let metadata = admin.inner().fetch_metadata(None, REQUEST_TIMEOUT)?;
        let counts = names
            .iter()
            .map(|name| metadata.topics().iter().find(|topic| topic.name() == name))
            .map(|topic| topic.map(|topic| topic.partitions().len()).filter(|count| *count > 0))
            .collect();
        Ok((admin, counts))
    };
    tokio::task::spawn_blocking(fetch)
        .await
        .unwrap_or(Err(KafkaError::Canceled))
        .map_err(Failure::Unavailable)
}

async fn create(admin: &Admin, settings: &KafkaSettings, topics: &[Topic]) -> Result<(), Failure> {
    let names: Vec<String> = topics.iter().map(|topic| topic.name(&settings.topic_prefix)).collect();
    let new_topics: Vec<NewTopic<'_>> = topics
        .iter()
        .zip(&names)
        .map(|(topic, name)| {
            let replication = TopicReplication::Fixed(settings.topic_replication);
            let new_topic = NewTopic::new(name, settings.topic_partitions, replication);
            let durability: &[_] = if settings.topic_replication >= 3 { &[MIN_INSYNC_REPLICAS] } else { &[] };
            let config = topic.config().iter().chain(durability);
            config.fold(new_topic, |new_topic, (key, value)| new_topic.set(key, value))
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
    let results = admin.create_topics(&new_topics, &options).await.map_err(Failure::Unavailable)?;
    for result in results {
        match result {
            Ok(name) => tracing::info!(topic = name, "created topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) if is_final(code) => {
                return Err(Failure::Mismatch(TopicsError::Refused { topic, code }));
            }
            Err((_, code)) => return Err(Failure::Unavailable(KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}

/// Whether a refusal says something about the settings rather than about the cluster's state.
const fn is_final(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::InvalidConfig
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
    )
}
