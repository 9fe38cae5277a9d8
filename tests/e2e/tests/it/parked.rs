//! Parked events are worked on from the command line.

use std::process::Output;

use e2e::{Answer, SERVICES, World, block_on, eventually};
use futures::future::join;
use serde_json::{Value, json};

/// Lets my page refuse whatever is said of this member, as a fault in its code would.
const BREAK: &str = "ALTER TABLE mypage.page ADD CONSTRAINT broken CHECK (member_id <> 1) NOT VALID";
const MEND: &str = "ALTER TABLE mypage.page DROP CONSTRAINT broken";

#[test]
fn what_parked_during_a_fault_is_redriven_in_order_while_new_events_arrive() {
    block_on(async {
        let world = World::start().await;
        for member_id in [1, 2] {
            world.client.join_and_be_granted(member_id).await;
        }
        execute(&world, BREAK).await;
        earn(&world, 1, 1..=20).await;
        let listed = until_parked(&world, 20).await;
        assert!(listed.iter().all(|event| event["key"] == "1" && event["topic"] == "point"), "{listed:?}");
        assert!(listed[0]["reason"].to_string().contains("broken"), "{listed:?}");
        until_measured(&world, "parked_events{topic=\"point\"} 20").await;

        let refused = world.run("mypage", &["parked", "redrive", "--all"]).await;
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(text(&refused).contains("still cannot be handled"), "{refused:?}");
        assert_eq!(until_parked(&world, 20).await.len(), 20);
        assert!(world.client.get("/mypages/1").await.shows(200, &json!({ "remainPoint": 1_000 })));

        execute(&world, MEND).await;
        let redriving = async {
            let redriven = world.run("mypage", &["parked", "redrive", "--member-id", "1"]).await;
            assert!(redriven.status.success(), "{redriven:?}");
        };
        join(redriving, earn(&world, 1, 21..=60)).await;

        let sum: i64 = (1..=60).sum();
        world.client.until("/mypages/1", 200, json!({ "remainPoint": 1_000 + sum })).await;
        until_parked(&world, 0).await;
        assert_eq!(text(&world.run("mypage", &["parked", "list"]).await), "nothing is parked\n");
        until_measured(&world, "parked_events{topic=\"point\"} 0").await;
        world.stop().await;
    });
}

#[test]
fn a_parked_event_is_shown_without_personal_data_and_dropped_for_good() {
    block_on(async {
        let world = World::start().await;
        execute(&world, BREAK).await;
        let joined = world.client.join(1, "010-8558-1234", "홍길동").await;
        assert_eq!(joined.status, 201);
        let listed = until_parked(&world, 3).await;
        let (of_member, of_point): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|event| event["topic"] == "member");
        assert_eq!((of_member.len(), of_point.len()), (2, 1));
        let id = of_member[0]["id"].to_string();

        let masked = text(&world.run("mypage", &["parked", "show", &id]).await);
        assert!(masked.contains("MemberJoined") && masked.contains(r#""memberStatus": "READY""#), "{masked}");
        assert!(!masked.contains("01085581234") && !masked.contains("홍길동"), "{masked}");
        let whole = text(&world.run("mypage", &["parked", "show", &id, "--personal-data"]).await);
        assert!(whole.contains("01085581234") && whole.contains("홍길동"), "{whole}");

        execute(&world, MEND).await;
        assert!(world.run("mypage", &["parked", "drop", &id]).await.status.success());
        assert_eq!(world.run("mypage", &["parked", "drop", &id]).await.status.code(), Some(1));
        assert_eq!(world.run("mypage", &["parked", "show", &id]).await.status.code(), Some(1));
        until_parked(&world, 2).await;
        let redriven = world.run("mypage", &["parked", "redrive", "--all"]).await;
        assert_eq!((redriven.status.code(), text(&redriven).as_str()), (Some(0), "redrove 2 event(s)\n"));
        // The later event has the whole state, too.
        world
            .client
            .until("/mypages/1", 200, json!({ "remainPoint": 1_000, "memberStatus": "NORMAL" }))
            .await;
        world.stop().await;
    });
}

#[test]
fn the_command_line_says_what_is_wrong_with_it() {
    block_on(async {
        let world = World::start().await;
        for service in SERVICES {
            let help = world.run(service, &["parked", "--help"]).await;
            assert!(help.status.success() && text(&help).contains("redrive"), "{help:?}");
            for wrong in
                [&["parked"][..], &["parked", "redrive"], &["parked", "drop"], &["parked", "show", "x"]]
            {
                let refused = world.run(service, wrong).await;
                assert_eq!(refused.status.code(), Some(2), "{refused:?}");
                assert_eq!(String::from_utf8_lossy(&refused.stderr).lines().count(), 1, "{refused:?}");
            }
            assert_eq!(world.run(service, &["parked", "redrive", "--all"]).await.status.code(), Some(0));
        }
        world.stop().await;
    });
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

async fn execute(world: &World, statement: &'static str) {
    sqlx::query(statement).execute(&world.pool).await.expect("the statement is carried out");
}

async fn earn(world: &World, member_id: i64, amounts: impl Iterator<Item = i64>) {
    for amount in amounts {
        let answer: Answer = world.client.change_points(member_id, amount).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Waits until so many events are parked in my page, and lists them.
async fn until_parked(world: &World, expected: usize) -> Vec<Value> {
    eventually("the events are parked", || async {
        let output = text(&world.run("mypage", &["parked", "list", "--json"]).await);
        let listed: Vec<Value> =
            output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        if listed.len() == expected { Ok(listed) } else { Err(format!("{} are parked", listed.len())) }
    })
    .await
}

/// Waits until the metrics of my page have this line.
async fn until_measured(world: &World, line: &str) {
    let url = format!("{}/metrics", world.service("mypage").internal_url());
    eventually(line, || async {
        let answer = reqwest::get(&url).await.map_err(|error| error.to_string())?;
        let metrics = answer.text().await.map_err(|error| error.to_string())?;
        if metrics.lines().any(|each| each == line) { Ok(()) } else { Err("it is not there".to_owned()) }
    })
    .await;
}
