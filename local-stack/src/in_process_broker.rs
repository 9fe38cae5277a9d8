//! A stand-in for Kafka inside this process: librdkafka's mock cluster. Nothing it holds outlives it.

use std::{sync::mpsc, thread};

use anyhow::Context;
use rdkafka::mocking::MockCluster;

/// The topics of the system, without their prefix; the mock cluster cannot create them on request.
const TOPICS: [&str; 3] = ["member", "message", "point"];

const PARTITIONS: i32 = 12;

/// A mock cluster of one broker; it ends when this is dropped.
#[derive(Debug)]
pub struct InProcessBroker {
    brokers: String,
    _stop: mpsc::Sender<()>,
}

impl InProcessBroker {
    /// Starts it with the topics `<topic_prefix>.member`, `.message` and `.point` of 12 partitions.
    pub fn start(topic_prefix: &str) -> anyhow::Result<Self> {
        let topics = TOPICS.map(|topic| format!("{topic_prefix}.{topic}"));
        let (stop, stopped) = mpsc::channel::<()>();
        let (started, result) = mpsc::channel();
        // The cluster's handle must stay on the thread that made it.
        thread::spawn(move || match create(&topics) {
            Ok(cluster) => {
                let _ = started.send(Ok(cluster.bootstrap_servers()));
                let _ = stopped.recv();
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        });
        let brokers = result
            .recv()
            .context("the in-process broker ended")?
            .context("cannot start the in-process broker")?;
        Ok(Self { brokers, _stop: stop })
    }

    /// `host:port`.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }
}

fn create(
    topics: &[String],
) -> rdkafka::error::KafkaResult<MockCluster<'static, rdkafka::producer::DefaultProducerContext>> {
    let cluster = MockCluster::new(1)?;
    for topic in topics {
        cluster.create_topic(topic, PARTITIONS, 1)?;
    }
    Ok(cluster)
}
