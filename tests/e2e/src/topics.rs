//! The topics as somebody else's consumer and producer see them.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message, Offset, TopicPartitionList};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A record, as it is on a topic.
#[derive(Clone, Debug)]
pub struct Record {
    /// The full name of its topic.
    pub topic: String,
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub payload: Vec<u8>,
    /// The headers.
    pub headers: OwnedHeaders,
}

impl Record {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let header = self.headers.iter().find(|header| header.key == name)?;
        header.value.map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Everything in it as text.
    #[must_use]
    pub fn as_text(&self) -> String {
        let headers = self.headers.iter().map(|header| (header.key, header.value.unwrap_or_default()));
        let parts = headers.flat_map(|(key, value)| [key.as_bytes(), value]);
        let all: Vec<&[u8]> = parts.chain([&self.key[..], &self.payload]).collect();
        String::from_utf8_lossy(&all.join(&b'\n')).into_owned()
    }

    /// The same record under another event id, so that no inbox knows it.
    #[must_use]
    pub fn with_new_id(&self, id: &str) -> Self {
        let headers = self.headers.iter().fold(OwnedHeaders::new(), |headers, header| {
            let value = if header.key == "ce_id" { Some(id.as_bytes()) } else { header.value };
            headers.insert(Header { key: header.key, value })
        });
        Self { headers, ..self.clone() }
    }
}

/// The topics under one prefix.
#[derive(Clone, Debug)]
pub struct Topics {
    brokers: String,
    prefix: String,
}

impl Topics {
    pub(crate) fn new(brokers: String, prefix: String) -> Self {
        Self { brokers, prefix }
    }

    /// Where they are.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// A topic's full name.
    #[must_use]
    pub fn name(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.prefix)
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("socket.nagle.disable", "true");
        config
    }

    /// All records that are on a topic now, partition by partition.
    pub async fn read(&self, suffix: &str) -> Vec<Record> {
        self.read_as(suffix, |message| Record {
            topic: message.topic().to_owned(),
            key: message.key().unwrap_or_default().to_vec(),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: message.headers().map_or_else(OwnedHeaders::new, |headers| headers.detach()),
        })
        .await
    }

    /// What `kafka-console-consumer.sh` prints of a topic's records since a time, in milliseconds, when it is told to print
    /// timestamps, headers and keys.
    pub async fn print_since(&self, suffix: &str, since: i64) -> String {
        let lines = self.read_as(suffix, move |message| {
            let published = message.timestamp().to_millis().filter(|published| *published >= since)?;
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"null")).into_owned();
            let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
            let headers: Vec<String> =
                headers.map(|header| format!("{}:{}", header.key, text(header.value))).collect();
            let (headers, key, value) = (headers.join(","), text(message.key()), text(message.payload()));
            Some(format!("CreateTime:{published}\t{headers}\t{key}\t{value}\n"))
        });
        lines.await.into_iter().flatten().collect()
    }

    async fn read_as<T: Send + 'static>(
        &self,
        suffix: &str,
        taken: impl Fn(&BorrowedMessage<'_>) -> T + Send + 'static,
    ) -> Vec<T> {
        let (config, topic) = (self.config(), self.name(suffix));
        let read = tokio::task::spawn_blocking(move || read(config, &topic, taken));
        read.await.expect("the reader does not panic")
    }

    /// Puts a group, which nobody is in, to the end of these topics.
    pub async fn put_to_end(&self, group: &str, suffixes: &[&str]) {
        let mut config = self.config();
        config.set("group.id", group);
        let topics: Vec<String> = suffixes.iter().map(|suffix| self.name(suffix)).collect();
        let put = tokio::task::spawn_blocking(move || {
            topics.iter().try_for_each(|topic| put_to_end(&config, topic))
        });
        put.await.expect("no panic").expect("the offsets are committed");
    }

    /// Appends records to their topics, in order, with the partitioner of the services.
    pub async fn write(&self, records: &[Record]) {
        let producer: FutureProducer = self
            .config()
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set("max.in.flight.requests.per.connection", "1")
            .create()
            .expect("a producer");
        let mut reports = Vec::with_capacity(records.len());
        for record in records {
            let message = FutureRecord::to(&record.topic)
                .key(&record.key)
                .payload(&record.payload)
                .headers(record.headers.clone());
            reports
                .push(producer.send_result(message).map_err(|(error, _)| error).expect("room in the queue"));
        }
        for report in reports {
            let delivered = report.await.expect("a report");
            delivered.map_err(|(error, _)| error).expect("the record is delivered");
        }
    }

    /// Creates a topic.
    pub async fn create(&self, suffix: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let name = self.name(suffix);
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let created = admin.create_topics([&topic], &AdminOptions::new()).await.expect("an answer");
        assert!(created.iter().all(Result::is_ok), "{created:?}");
    }

    /// Replaces a topic's configuration.
    pub async fn configure(&self, suffix: &str, config: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let name = self.name(suffix);
        let topic = AlterConfig::new(ResourceSpecifier::Topic(&name));
        let topic = config.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let altered = admin.alter_configs([&topic], &AdminOptions::new()).await.expect("an answer");
        assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    }

    /// How many records of these topics a group has not handled yet.
    pub async fn lag(&self, group: &str, suffixes: &[&str]) -> anyhow::Result<i64> {
        let mut config = self.config();
        config.set("group.id", group);
        let topics: Vec<String> = suffixes.iter().map(|suffix| self.name(suffix)).collect();
        tokio::task::spawn_blocking(move || topics.iter().map(|topic| lag(&config, topic)).sum()).await?
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<TopicPartitionList> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        list.add_partition(topic, partition.id());
    }
    Ok(list)
}

fn lag(config: &ClientConfig, topic: &str) -> anyhow::Result<i64> {
    let consumer: BaseConsumer = config.create()?;
    let committed = consumer.committed_offsets(partitions(&consumer, topic)?, TIMEOUT)?;
    let mut lag = 0;
    for element in committed.elements() {
        let (_, high) = consumer.fetch_watermarks(topic, element.partition(), TIMEOUT)?;
        lag += high - element.offset().to_raw().map_or(0, |offset| offset.max(0));
    }
    Ok(lag)
}

fn put_to_end(config: &ClientConfig, topic: &str) -> anyhow::Result<()> {
    let consumer: BaseConsumer = config.create()?;
    let ends = partitions(&consumer, topic)?;
    for mut element in ends.elements() {
        let (_, high) = consumer.fetch_watermarks(topic, element.partition(), TIMEOUT)?;
        element.set_offset(Offset::Offset(high))?;
    }
    Ok(consumer.commit(&ends, CommitMode::Sync)?)
}

fn read<T>(mut config: ClientConfig, topic: &str, taken: impl Fn(&BorrowedMessage<'_>) -> T) -> Vec<T> {
    config.set("group.id", "nobody").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut assignment = partitions(&consumer, topic).expect("the partitions");
    assignment.set_all_offsets(Offset::Beginning).expect("offsets");
    consumer.assign(&assignment).expect("an assignment");
    let mut unread: HashSet<i32> = assignment.elements().iter().map(|element| element.partition()).collect();
    let mut records = Vec::new();
    while !unread.is_empty() {
        let polled = consumer.poll(TIMEOUT).expect("a record or the end within the timeout");
        if let Err(KafkaError::PartitionEOF(partition)) = polled {
            unread.remove(&partition);
            continue;
        }
        records.push(taken(&polled.expect("a record")));
    }
    records
}
