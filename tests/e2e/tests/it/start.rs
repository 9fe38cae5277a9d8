//! What is checked before a service takes part.

use std::time::Duration;

use e2e::{World, WorldOptions, block_on, kafka};
use local_stack::service::ServiceProcess;

#[test]
fn a_service_refuses_topics_with_another_partition_count() {
    block_on(async {
        let world = World::start().await;
        world.quiet().await;
        world.services.stop().await;
        let topics = world.topics.read("member").await;
        assert!(topics.is_empty());

        let other = World::start_with(WorldOptions {
            brokers: Some(kafka().await.brokers()),
            env: vec![
                ("point", "TOPIC_PREFIX", world.group("x").replace(".x", "")),
                ("point", "TOPIC_PARTITIONS", "7".to_owned()),
            ],
        })
        .await;
        let point: &ServiceProcess = other.service("point");
        let exit = tokio::time::timeout(Duration::from_secs(30), point.exited()).await.expect("point ends");
        assert_eq!(exit.code(), Some(1));
        assert!(point.log().contains("has 12 partitions but TOPIC_PARTITIONS is 7"), "{}", point.log());
        other.stop().await;
    });
}
