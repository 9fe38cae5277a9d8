//! An event that cannot be handled is parked with what follows it; everybody else goes on.

use e2e::{Record, World, block_on, eventually};
use rdkafka::message::OwnedHeaders;
use serde_json::json;
use uuid::Uuid;

const READERS_OF_MEMBER: [&str; 3] = ["message", "point", "mypage"];

#[test]
fn a_poison_record_is_parked_with_its_members_later_ones_while_other_members_go_on() {
    block_on(async {
        let world = World::start().await;
        world.client.join_and_be_granted(1).await;
        world.quiet().await;
        let unreadable = Record {
            topic: world.topics.name("member"),
            key: vec![0xff, 0xfe],
            payload: b"?".to_vec(),
            headers: OwnedHeaders::new(),
        };
        let genuine = world.topics.read("member").await[0].clone();
        let later = genuine.with_new_id(&Uuid::now_v7().to_string());
        world.topics.write(&[poison(&genuine), unreadable, later]).await;
        for service in READERS_OF_MEMBER {
            parked(&world, service, 3).await;
        }

        world.client.join_and_be_granted(2).await;
        assert_eq!(world.client.change_points(1, 5).await.status, 200);
        world.client.until("/mypages/1", 200, json!({ "remainPoint": 1_005 })).await;
        world.stop().await;
    });
}

#[test]
fn a_withdrawal_waits_behind_nothing_and_leaves_no_parked_event_of_its_member() {
    block_on(async {
        let world = World::start().await;
        for member_id in [1, 2] {
            world.client.join_and_be_granted(member_id).await;
        }
        world.quiet().await;
        let genuine = world.topics.read("member").await;
        let poisons: Vec<_> = genuine.iter().map(poison).collect();
        world.topics.write(&poisons).await;
        for service in READERS_OF_MEMBER {
            parked(&world, service, 4).await;
        }

        assert_eq!(world.client.withdraw(1).await.status, 204);

        world.client.until("/mypages/1", 404, json!({})).await;
        for service in READERS_OF_MEMBER {
            parked(&world, service, 2).await;
        }
        world.client.until("/mypages/2", 200, json!({ "remainPoint": 1_000 })).await;
        world.stop().await;
    });
}

/// A record of the same member that cannot be handled.
fn poison(genuine: &Record) -> Record {
    let mut poison = genuine.with_new_id(&Uuid::now_v7().to_string());
    poison.payload = br#"{"memberId":"not a number"}"#.to_vec();
    poison
}

async fn parked(world: &World, service: &str, expected: i64) {
    let query = format!("SELECT count(*) FROM {service}.parked_event");
    eventually(&query, || async {
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query.clone()))
            .fetch_one(&world.pool)
            .await
            .map_err(|error| error.to_string())?;
        if count == expected {
            Ok(())
        } else {
            Err(format!("{count} are parked in {service}, not {expected}"))
        }
    })
    .await;
}

#[test]
fn an_event_that_has_to_wait_keeps_only_its_own_partition_waiting() {
    block_on(async {
        let world = World::start().await;
        world.client.join_and_be_granted(1).await;
        world.quiet().await;
        let mut lock = world.pool.begin().await.expect("a transaction");
        sqlx::query("SELECT FROM mypage.page WHERE member_id = 1 FOR UPDATE")
            .execute(&mut *lock)
            .await
            .expect("the page is locked");

        assert_eq!(world.client.change_points(1, 1).await.status, 200);
        for member_id in 2..=25 {
            assert_eq!(world.client.join_with_own_number(member_id).await.status, 201);
        }
        eventually("most of the others are shown", || async {
            let shown: i64 = sqlx::query_scalar("SELECT count(*) FROM mypage.page WHERE remain_point = 1000")
                .fetch_one(&world.pool)
                .await
                .map_err(|error| error.to_string())?;
            // Of 12 partitions one waits, with it the members that share it.
            if shown > 1 + 12 { Ok(()) } else { Err(format!("{shown} pages are complete")) }
        })
        .await;
        assert!(world.client.get("/mypages/1").await.shows(200, &json!({ "remainPoint": 1_000 })));

        lock.rollback().await.expect("the page is let go");
        for member_id in 2..=25 {
            world.client.until(&format!("/mypages/{member_id}"), 200, json!({ "remainPoint": 1_000 })).await;
        }
        world.client.until("/mypages/1", 200, json!({ "remainPoint": 1_001 })).await;
        world.stop().await;
    });
}
