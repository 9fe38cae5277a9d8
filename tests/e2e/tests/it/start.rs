//! What is checked before a service takes part.

use std::time::Duration;

use e2e::{World, block_on, kafka, postgres};
use local_stack::database::Role;
use local_stack::port::free_port;
use local_stack::scratch::ScratchDir;
use local_stack::service::{ServiceOptions, ServiceProcess};

#[test]
fn a_service_refuses_topics_with_another_partition_count() {
    block_on(async {
        let world = World::start().await;
        world.quiet().await;
        let folder = ScratchDir::new("start").expect("a folder");
        let database = postgres().await.create_database("partition_count").await.expect("a database");
        let env = [
            ("DATABASE_URL", database.url("point", Role::App)),
            ("MIGRATION_DATABASE_URL", database.url("point", Role::Owner)),
            ("KAFKA_BROKERS", kafka().await.brokers()),
            ("TOPIC_PREFIX", world.prefix().to_owned()),
            ("TOPIC_PARTITIONS", "7".to_owned()),
        ];

        let point = ServiceProcess::spawn(ServiceOptions {
            name: "point".to_owned(),
            port: free_port().expect("a port"),
            internal_port: free_port().expect("a port"),
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            args: Vec::new(),
            log: folder.path().join("point.log"),
        })
        .expect("point starts");

        let exit = tokio::time::timeout(Duration::from_secs(60), point.exited()).await.expect("point ends");
        assert_eq!(exit.code(), Some(1));
        assert!(point.log().contains("has 12 partitions but TOPIC_PARTITIONS is 7"), "{}", point.log());
        world.stop().await;
    });
}
