//! The relay of a broker that refuses a record at first: librdkafka's mock cluster does so when told to.

use rdkafka::consumer::Consumer as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::timeout;

use super::*;
use crate::delivery::received::Received;
use crate::delivery::settings::KafkaSettings;
use crate::delivery::test_support::{DEADLINE, append, kafka_settings, pool};

const EVENTS: i64 = 4;

/// With several requests on their way the first record would pass for published: see the guarantees of a producer.
#[tokio::test]
async fn a_record_that_is_refused_at_first_is_published_before_those_behind_it() {
    let cluster: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
    for topic in Topic::ALL {
        cluster.create_topic(&topic.name("mileage"), 1, 1).unwrap();
    }
    // So that all records would be on their way before the first answer.
    cluster.broker_round_trip_time(1, Duration::from_millis(100)).unwrap();
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION],
    );
    // A request for each record.
    let one_each = vec![("batch.num.messages".to_owned(), "1".to_owned())];
    let settings =
        KafkaSettings { kafka_properties: one_each, ..kafka_settings(&cluster.bootstrap_servers()) };
    let (broker, pool, token) = (Broker::new("member", settings), pool().await, CancellationToken::new());
    for version in 1..=EVENTS {
        append(&mut pool.acquire().await.unwrap(), version).await;
    }

    let relay = Relay::new(broker.clone(), pool.clone(), Wake::new());
    let running = tokio::spawn(relay.run(token.clone()));
    timeout(DEADLINE, outbox_is_empty(&pool)).await.expect("all is published in time");

    let published = timeout(DEADLINE, published(&broker)).await.expect("the records in time");
    assert_eq!(published, Vec::from_iter(1..=EVENTS));
    token.cancel();
    running.await.unwrap().unwrap();
}

async fn outbox_is_empty(pool: &PgPool) {
    while sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM outbox)").fetch_one(pool).await.unwrap() {
        tokio::task::yield_now().await;
    }
}

/// The versions of all records, in their order.
async fn published(broker: &Broker) -> Vec<i64> {
    let consumer = broker.consumer(&[Topic::Member], Duration::ZERO).unwrap();
    let name = broker.topic_name(Topic::Member);
    let (first, end) = consumer.fetch_watermarks(&name, 0, DEADLINE).unwrap();
    consumer.subscribe(&[&name]).unwrap();
    let mut versions = Vec::new();
    for _ in first..end {
        let message = consumer.recv().await.unwrap();
        versions.push(Received::new(Topic::Member, &message).envelope.unwrap().sequence);
    }
    versions
}
