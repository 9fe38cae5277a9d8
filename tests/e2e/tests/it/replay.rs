//! Delivery is at least once; the effect is exactly once.

use e2e::{SERVICES, World, block_on};
use serde_json::json;

/// A few lives: one that earned and used, one that cannot be notified, one that withdrew and one that rejoined.
async fn live(world: &World) {
    let client = &world.client;
    for member_id in [1, 3, 4] {
        client.join_and_be_granted(member_id).await;
        assert_eq!(client.change_points(member_id, 530).await.status, 200);
        assert_eq!(client.change_points(member_id, -730).await.status, 200);
    }
    assert_eq!(client.join(2, "0108558", "SEQ2").await.status, 201);
    client.until("/members/2", 200, json!({ "memberStatus": "ABNORMAL" })).await;
    for member_id in [3, 4] {
        assert_eq!(client.withdraw(member_id).await.status, 204);
    }
    client.join_and_be_granted(4).await;
}

/// Runs `again` on a world in which [`live`] has come to rest, and asserts that afterwards it is the same as before.
fn changes_nothing(again: impl AsyncFnOnce(&mut World)) {
    block_on(async {
        let mut world = World::start().await;
        live(&world).await;
        world.quiet().await;
        let before = world.snapshot().await;

        again(&mut world).await;

        assert_eq!(world.snapshot().await, before);
        world.stop().await;
    });
}

#[test]
fn every_event_published_twice_changes_nothing() {
    changes_nothing(async |world| {
        for topic in ["member", "message", "point"] {
            let records = world.topics.read(topic).await;
            assert!(!records.is_empty());
            world.topics.write(&records).await;
        }
        world.quiet().await;
    });
}

#[test]
fn all_topics_replayed_to_fresh_consumer_groups_without_an_inbox_change_nothing() {
    changes_nothing(async |world| {
        world.services.stop().await;
        for service in SERVICES {
            let statement = format!("TRUNCATE {service}.inbox");
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&world.pool).await.expect("an empty inbox");
        }
        let groups = SERVICES.map(|service| (service, world.group(service) + ".replay"));
        let env: Vec<(&str, &str, &str)> =
            groups.iter().map(|(service, group)| (*service, "CONSUMER_GROUP", group.as_str())).collect();
        world.restart_with(&env).await;
        let [member, message, point, mypage] = groups.map(|(_, group)| group);
        world
            .quiet_for(&[
                (member, &["message", "point"]),
                (message, &["member", "point"]),
                (point, &["member"]),
                (mypage, &["member", "point"]),
            ])
            .await;
    });
}

#[test]
fn my_page_is_rebuilt_from_the_log() {
    changes_nothing(async |world| {
        world.services.stop().await;
        sqlx::query("TRUNCATE mypage.page, mypage.page_transaction, mypage.inbox")
            .execute(&world.pool)
            .await
            .expect("an empty page table");
        let group = world.group("mypage") + ".rebuild";
        world.restart_with(&[("mypage", "CONSUMER_GROUP", &group)]).await;
        world.quiet_for(&[(group, &["member", "point"])]).await;
    });
}
