//! The relay loses its lock, or has little room or much to do, and nothing is lost, doubled or reordered by it.

use std::collections::HashMap;

use e2e::{World, WorldOptions, block_on};
use futures::future::join_all;
use serde_json::{Value, json};

/// Who earn in turn, and how often each.
const MEMBERS: i64 = 5;
const CHANGES: i64 = 40;

#[test]
fn relays_that_lose_their_lock_while_they_publish_lose_and_reorder_nothing() {
    block_on(async {
        let world = World::start().await;
        for round in 0..5 {
            let ids = (1 + round * 20)..=(20 + round * 20);
            let joins = join_all(ids.map(|id| world.client.join_with_own_number(id)));
            let (joined, ()) = tokio::join!(joins, world.cut_the_relays());
            assert!(joined.iter().all(|answer| answer.status == 201), "{joined:?}");
        }
        for id in 1..=100 {
            world.client.until(&format!("/mypages/{id}"), 200, json!({ "remainPoint": 1_000 })).await;
        }
        world.quiet().await;

        let granted: i64 =
            sqlx::query_scalar("SELECT count(*) FROM point.ledger_entry WHERE type = 'SIGNUP'")
                .fetch_one(&world.pool)
                .await
                .expect("a count");
        assert_eq!(granted, 100);
        last_records_are_the_newest(&world).await;
        world.stop().await;
    });
}

#[test]
fn a_producer_that_has_room_for_a_few_records_publishes_all_of_them_once_and_in_order() {
    block_on(async {
        let tiny = "queue.buffering.max.messages=3".to_owned();
        let env = ["member", "point"].map(|service| (service, "KAFKA_PROPERTIES", tiny.clone())).into();
        let world = World::start_with(WorldOptions { env, ..WorldOptions::default() }).await;
        for id in 1..=MEMBERS {
            world.client.join_and_be_granted(id).await;
        }

        let changes =
            (0..MEMBERS * CHANGES).map(|number| world.client.change_points(1 + number % MEMBERS, 1));
        let changed = join_all(changes).await;
        assert!(changed.iter().all(|answer| answer.status == 200), "{changed:?}");
        world.quiet().await;

        points_were_published_once_and_in_order(&world, 1 + CHANGES).await;
        world.stop().await;
    });
}

#[test]
fn a_backlog_of_many_batches_is_published_once_and_in_order() {
    /// Several batches of the relay together.
    const EACH: i64 = 700;
    block_on(async {
        let world = World::start().await;
        world.service("point").kill().await;
        let backlog = r#"
            INSERT INTO point.outbox (ce_id, type, topic, key, sequence, membership_id, payload, actor)
            SELECT gen_random_uuid(), 'PointsEarned', 'point', member_id, version, membership_id,
                   json_build_object('memberId', member_id, 'membershipId', membership_id, 'amount', 1, 'remainPoint', version,
                                     'entryType', 'EARN', 'occurredAt', '2026-03-04T05:06:07Z'), 'test'
            FROM (SELECT member_id, gen_random_uuid() AS membership_id FROM generate_series(1, $1) AS member_id) AS member,
                 generate_series(1, $2) AS version
            ORDER BY version, member_id"#;
        let backlog = sqlx::query(backlog).bind(MEMBERS).bind(EACH).execute(&world.pool).await;
        assert_eq!(backlog.expect("the backlog").rows_affected(), (MEMBERS * EACH).unsigned_abs());
        world.service("point").restart().await.expect("it starts again");
        world.quiet().await;
        points_were_published_once_and_in_order(&world, EACH).await;
        world.stop().await;
    });
}

/// Of each member's versions, that many, each once and in order.
async fn points_were_published_once_and_in_order(world: &World, each: i64) {
    let mut versions: HashMap<Vec<u8>, Vec<i64>> = HashMap::new();
    for record in world.topics.read("point").await {
        let version = record.header("ce_sequence").and_then(|text| text.parse().ok());
        versions.entry(record.key).or_default().push(version.expect("a sequence"));
    }
    assert_eq!(versions.len(), usize::try_from(MEMBERS).expect("few"));
    for versions in versions.values() {
        assert_eq!(*versions, (1..=each).collect::<Vec<_>>());
    }
}

/// What compaction would leave of each key is its newest state.
async fn last_records_are_the_newest(world: &World) {
    let mut last = HashMap::new();
    for record in world.topics.read("member").await {
        let sequence: i64 =
            record.header("ce_sequence").and_then(|text| text.parse().ok()).expect("a sequence");
        let payload: Value = serde_json::from_slice(&record.payload).expect("JSON");
        last.insert(record.key, (sequence, payload["memberStatus"].clone()));
    }
    assert_eq!(last.len(), 100);
    assert!(last.values().all(|state| *state == (2, json!("NORMAL"))), "{last:?}");
}
