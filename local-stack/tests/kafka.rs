//! A real Kafka: start, kill, restart; and the in-process stand-in.
#![allow(clippy::unwrap_used, reason = "clippy takes the helpers of integration tests for production code")]

use std::time::{Duration, Instant};

use local_stack::{
    in_process_broker::InProcessBroker,
    kafka::{Kafka, KafkaOptions},
};
use rdkafka::{
    ClientConfig, Message,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    producer::{FutureProducer, FutureRecord},
};

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("group.id", "test")
        .set("auto.offset.reset", "earliest")
        .set("reconnect.backoff.max.ms", "200");
    config
}

async fn produce(brokers: &str, topic: &str) {
    let producer: FutureProducer = client(brokers).create().unwrap();
    let record = FutureRecord::to(topic).key("1").payload("kept");
    producer.send(record, Duration::from_secs(20)).await.unwrap();
}

async fn first_record(brokers: String, topic: &'static str) -> Vec<u8> {
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = client(&brokers).create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            assert!(Instant::now() < deadline, "no record within 30 s");
            // A poll ends early when the group is rebalanced, and may report that the topic is not known yet.
            if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                return record.payload().unwrap().to_vec();
            }
        }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_record_survives_a_kill() {
    let kafka = Kafka::start(KafkaOptions::default()).await.unwrap();
    let admin: AdminClient<DefaultClientContext> = client(&kafka.brokers()).create().unwrap();
    let topic = NewTopic::new("kept", 3, TopicReplication::Fixed(1));
    admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    produce(&kafka.brokers(), "kept").await;

    kafka.kill().await;
    assert!(kafka.pid().is_none());
    kafka.restart().await.unwrap();

    assert_eq!(first_record(kafka.brokers(), "kept").await, b"kept");
}

#[tokio::test]
async fn brokers_run_side_by_side() {
    let (one, other) =
        tokio::join!(Kafka::start(KafkaOptions::default()), Kafka::start(KafkaOptions::default()));
    assert_ne!(one.unwrap().port(), other.unwrap().port());
}

#[tokio::test]
async fn properties_can_be_given() {
    let properties = vec![("auto.create.topics.enable".to_owned(), "true".to_owned())];
    let kafka = Kafka::start(KafkaOptions { properties, ..KafkaOptions::default() }).await.unwrap();
    produce(&kafka.brokers(), "made-on-demand").await;
}

#[tokio::test]
async fn the_in_process_broker_stands_in() {
    let broker = InProcessBroker::start("mileage").unwrap();
    produce(broker.brokers(), "mileage.member").await;
    assert_eq!(first_record(broker.brokers().to_owned(), "mileage.member").await, b"kept");
}
