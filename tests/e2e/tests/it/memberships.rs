//! A memberId can be used again; nothing of a former membership touches the new one.

use chrono::Utc;
use e2e::{Record, World, block_on};
use rdkafka::message::OwnedHeaders;
use serde_json::{Value, json};
use shared_events::{Envelope, MemberId, Provenance};
use uuid::Uuid;

#[test]
fn late_events_of_a_former_membership_do_not_touch_the_new_one() {
    block_on(async {
        let world = World::start().await;
        world.client.join_and_be_granted(1).await;
        assert_eq!(world.client.change_points(1, 500).await.status, 200);
        world.quiet().await;
        let mut former = Vec::new();
        for topic in ["member", "message", "point"] {
            former.extend(world.topics.read(topic).await);
        }
        assert_eq!(world.client.withdraw(1).await.status, 204);
        world.client.join_and_be_granted(1).await;
        world.quiet().await;
        let before = world.snapshot().await;

        let late: Vec<Record> =
            former.iter().map(|record| record.with_new_id(&Uuid::now_v7().to_string())).collect();
        assert!(late.len() >= 5, "{late:?}");
        world.topics.write(&late).await;
        world.quiet().await;

        assert_eq!(world.snapshot().await, before);
        world.stop().await;
    });
}

#[test]
fn a_forfeiture_that_arrives_before_the_account_keeps_it_closed() {
    block_on(async {
        let world = World::start().await;
        let membership = Uuid::now_v7();
        let url = format!("{}/forfeitures/7", world.service("point").internal_url());
        let forfeited = put(&url, &json!({ "membershipId": membership })).await;
        assert_eq!(forfeited, json!({ "memberId": 7, "forfeitedPoint": 0, "remainPoint": 0 }));

        world.topics.write(&[member_event(&world, 7, membership, 1, "READY")]).await;
        world.topics.write(&[member_event(&world, 7, membership, 2, "NORMAL")]).await;
        world.quiet().await;

        assert_eq!(world.client.get("/points/7").await.status, 404);
        let entries: i64 = sqlx::query_scalar("SELECT count(*) FROM point.ledger_entry")
            .fetch_one(&world.pool)
            .await
            .expect("a count");
        assert_eq!(entries, 0);
        world.stop().await;
    });
}

async fn put(url: &str, body: &Value) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let response = client.put(url).json(body).send().await.expect("an answer");
    response.json().await.expect("JSON")
}

/// An event as member would publish it.
fn member_event(world: &World, member_id: i64, membership: Uuid, sequence: i64, status: &str) -> Record {
    let event_type = if sequence == 1 { "MemberJoined" } else { "MemberStatusChanged" };
    let envelope = Envelope {
        id: Uuid::now_v7(),
        event_type: event_type.to_owned(),
        source: "/member".to_owned(),
        member_id: MemberId::try_from(member_id).expect("a memberId"),
        sequence,
        time: Utc::now(),
        provenance: Provenance { actor: "operator".to_owned(), traceparent: None },
    };
    let headers: OwnedHeaders = envelope.to_headers();
    let payload = json!({
        "memberId": member_id, "membershipId": membership, "phoneNo": "01000000000", "nickname": "N",
        "memberStatus": status, "joinedAt": Utc::now(),
    });
    Record {
        topic: world.topics.name("member"),
        key: member_id.to_string().into_bytes(),
        payload: payload.to_string().into_bytes(),
        headers,
    }
}
