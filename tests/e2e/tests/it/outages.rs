//! Joining is open 24 hours, 365 days, whatever else is down, and everything catches up.

use e2e::{World, WorldOptions, block_on};
use local_stack::kafka::{Kafka, KafkaOptions};
use serde_json::json;

#[test]
fn joining_is_accepted_while_each_other_part_is_down_and_all_catches_up() {
    block_on(async {
        let kafka = Kafka::start(KafkaOptions::default()).await.expect("Kafka starts");
        let world =
            World::start_with(WorldOptions { brokers: Some(kafka.brokers()), ..Default::default() }).await;
        let mut members = 1..;

        for service in ["message", "point", "mypage"] {
            world.service(service).kill().await;
            let member_id = members.next().expect("another id");
            joins(&world, member_id).await;
            world.service(service).restart().await.expect("the service starts again");
            catches_up(&world, member_id).await;
        }

        kafka.kill().await;
        let member_id = members.next().expect("another id");
        joins(&world, member_id).await;
        kafka.restart().await.expect("Kafka starts again");
        catches_up(&world, member_id).await;

        for service in ["message", "point", "mypage"] {
            world.service(service).kill().await;
        }
        kafka.kill().await;
        let alone = members.next().expect("another id");
        joins(&world, alone).await;
        world.service("member").kill().await;
        world.service("member").restart().await.expect("member starts without Kafka");
        let still_alone = members.next().expect("another id");
        joins(&world, still_alone).await;
        kafka.restart().await.expect("Kafka starts again");
        for service in ["message", "point", "mypage"] {
            world.service(service).restart().await.expect("the service starts again");
        }
        catches_up(&world, alone).await;
        catches_up(&world, still_alone).await;
        world.stop().await;
    });
}

async fn joins(world: &World, member_id: i64) {
    let joined = world.client.join(member_id, &format!("0101234{member_id:04}"), "N").await;
    assert!(joined.shows(201, &json!({ "memberStatus": "READY" })), "{joined:?}");
    assert_eq!(world.client.get(&format!("/members/{member_id}")).await.status, 200);
}

async fn catches_up(world: &World, member_id: i64) {
    world.client.until(&format!("/members/{member_id}"), 200, json!({ "memberStatus": "NORMAL" })).await;
    world.client.until(&format!("/points/{member_id}"), 200, json!({ "remainPoint": 1_000 })).await;
    world.client.until(&format!("/mypages/{member_id}"), 200, json!({ "remainPoint": 1_000 })).await;
}

#[test]
fn a_withdrawal_while_point_is_down_changes_nothing_and_succeeds_later() {
    block_on(async {
        let world = World::start().await;
        world.client.join_and_be_granted(1).await;
        world.service("point").kill().await;
        let refused = world.client.withdraw(1).await;
        assert!(
            refused.shows(503, &json!({ "code": "try-again-later", "outcome": "unchanged" })),
            "{refused:?}"
        );
        assert_eq!(world.client.get("/members/1").await.status, 200);
        world.service("point").restart().await.expect("point starts again");
        assert_eq!(world.client.withdraw(1).await.status, 204);
        assert_eq!(world.client.get("/members/1").await.status, 404);
        world.client.until("/mypages/1", 404, json!({})).await;
        world.stop().await;
    });
}
