//! The contract is what others can build on: the AsyncAPI document is valid and true, and a program in another language
//! that knows nothing else reads every event.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use chrono::{TimeDelta, Utc};
use e2e::{Record, SERVICES, World, block_on, contract, eventually, points_report, validate_asyncapi};
use local_stack::scratch::ScratchDir;
use rdkafka::message::{Header, OwnedHeaders};
use reqwest::Method;
use serde_json::{Value, json};
use shared_events::event::schemas;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

const TOPICS: [&str; 3] = ["member", "message", "point"];

#[test]
fn the_asyncapi_document_is_valid() {
    block_on(async {
        let output = validate_asyncapi(contract()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
}

#[test]
fn an_asyncapi_document_that_is_wrong_is_refused() {
    block_on(async {
        let folder = ScratchDir::new("asyncapi").expect("a folder");
        let document = fs::read_to_string(contract()).expect("the document");
        for (right, wrong) in [
            ("action: send", "action: shout"),
            ("./schemas/PointsUsed.json", "./schemas/Nothing.json"),
            ("partitions: 12", "partitions: many"),
        ] {
            let path = folder.path().join("asyncapi.yaml");
            assert!(document.contains(right), "{right}");
            fs::write(&path, document.replace(right, wrong)).expect("the document is written");
            copy_schemas(folder.path());
            let output = validate_asyncapi(path).await;
            assert_eq!(output.status.code(), Some(1), "{wrong}: {output:?}");
        }
    });
}

fn copy_schemas(folder: &Path) {
    let schemas = contract().with_file_name("schemas");
    fs::create_dir_all(folder.join("schemas")).expect("a folder");
    for schema in fs::read_dir(schemas).expect("the schemas") {
        let schema = schema.expect("a schema");
        fs::copy(schema.path(), folder.join("schemas").join(schema.file_name())).expect("a copy");
    }
}

#[test]
fn another_teams_program_reads_every_event_and_the_document_says_who_reacts_to_which() {
    block_on(async {
        let world = World::start().await;
        live_through_everything(&world).await;
        let folder = ScratchDir::new("points-report").expect("a folder");
        let records = records(&world).await;

        let report = report(&world, folder.path(), 0).await;
        assert_eq!(report["seen"], json!(count_by_type(&records)), "{report}");
        assert_eq!((&report["unknown"], &report["invalid"]), (&json!({}), &json!([])), "{report}");
        assert_books(&world, &report).await;

        every_event_again(&world, &records).await;
        let again = self::report(&world, folder.path(), 0).await;
        assert_eq!(again["report"], report["report"], "what is read again counts once");

        unknown_then_corrupted(&world, &records, folder.path()).await;

        assert_eq!(described_reactions().await, reactions(&world, &records).await);
        world.stop().await;
    });
}

/// Lets four members do what makes each type of event.
async fn live_through_everything(world: &World) {
    let client = &world.client;
    for member_id in [1, 2, 4] {
        client.join_and_be_granted(member_id).await;
    }
    assert_eq!(client.join(3, "0108558", "SEQ3").await.status, 201);
    let now = Utc::now();
    let (soon, later) = (now + TimeDelta::seconds(3), now + TimeDelta::days(2));
    // Of a member each: the job that expires and the one that tells of it skip accounts that the other has locked.
    for (member_id, amount, expires_at) in [(1, 70, soon), (4, 80, later)] {
        let reference = format!("R-{amount}");
        let earning =
            json!({ "type": "EARN", "amount": amount, "reference": reference, "expiresAt": expires_at });
        transact(world, &format!("/points/{member_id}/transactions"), &earning).await;
    }
    let usage = json!({ "type": "USE", "amount": 700, "reference": "R-700" });
    let used = transact(world, "/points/2/transactions", &usage).await;
    let cancellation = format!("/points/2/transactions/{}/cancellation", used["transactionId"]);
    transact(world, &cancellation, &json!({ "amount": 300, "reason": "returned" })).await;
    transact(world, "/points/2/adjustments", &json!({ "amount": -100, "reason": "counted twice" })).await;
    assert_eq!(client.withdraw(2).await.status, 204);
    client.until("/points/1", 200, json!({ "remainPoint": 1_000 })).await;
    // The jobs look when the service starts.
    world.service("point").restart().await.expect("it starts again");
    eventually("every type of event is published", || async {
        let published = count_by_type(&records(world).await);
        let mut types = schemas().into_iter().map(|(event_type, _)| event_type);
        let missing: Vec<_> = types.by_ref().filter(|name| !published.contains_key(*name)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    })
    .await;
    world.quiet().await;
}

async fn transact(world: &World, path: &str, body: &Value) -> Value {
    let answer = world.client.call(Method::POST, path, Some(body)).await.expect("an answer");
    assert_eq!(answer.status, 201, "{path}: {answer:?}");
    answer.body
}

async fn records(world: &World) -> Vec<Record> {
    let mut records = Vec::new();
    for topic in TOPICS {
        records.extend(world.topics.read(topic).await);
    }
    records
}

fn count_by_type(records: &[Record]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.header("ce_type").expect("a type")).or_default() += 1;
    }
    counts
}

/// Runs the report on what it has not read yet, until the end, and returns its summary.
async fn report(world: &World, folder: &Path, code: i32) -> Value {
    let env = vec![
        ("KAFKA_BROKERS", world.topics.brokers().to_owned()),
        ("TOPIC_PREFIX", world.prefix().to_owned()),
    ];
    let output = points_report(env, folder.join("report.sqlite")).await;
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("a summary in JSON")
}

/// Compares the report with the balances and the ledger of point.
async fn assert_books(world: &World, report: &Value) {
    let days = report["report"].as_array().expect("days");
    let sum = |column: &str| days.iter().map(|day| day[column].as_i64().expect("points")).sum::<i64>();
    let balances: i64 = sqlx::query_scalar("SELECT sum(balance)::bigint FROM point.account")
        .fetch_one(&world.pool)
        .await
        .expect("the balances");
    assert_eq!(sum("change"), balances, "{report}");
    let columns = ["issued", "used", "restored", "adjusted", "expired", "forfeited"];
    assert_eq!(columns.map(sum), [3_150, 700, 300, -100, 70, 500], "{report}");
}

async fn every_event_again(world: &World, records: &[Record]) {
    let again: Vec<Record> =
        records.iter().map(|record| record.with_new_id(&Uuid::now_v7().to_string())).collect();
    world.topics.write(&again).await;
    world.quiet().await;
}

/// A type that nobody knows is counted; whatever breaks the contract is told one by one.
async fn unknown_then_corrupted(world: &World, records: &[Record], folder: &Path) {
    let genuine = records.iter().find(|record| record.header("ce_type").as_deref() == Some("PointsUsed"));
    let genuine = genuine.expect("a use").with_new_id(&Uuid::now_v7().to_string());
    world.topics.write(&[with_header(&genuine, "ce_type", "PointsGifted")]).await;
    let summary = report(world, folder, 0).await;
    assert_eq!(summary["unknown"], json!({ "PointsGifted": 1 }), "{summary}");

    let mut other_payload = genuine.clone();
    other_payload.payload = br#"{"memberId":"two"}"#.to_vec();
    let mut half_a_payload = genuine.clone();
    half_a_payload.payload.truncate(20);
    let mut other_key = genuine.clone();
    other_key.key = b"9".to_vec();
    let mut elsewhere = genuine.clone();
    elsewhere.topic = world.topics.name("message");
    let mut bare = genuine.clone();
    bare.headers = OwnedHeaders::new();
    let corrupted = [
        other_payload,
        half_a_payload,
        other_key,
        elsewhere,
        bare,
        with_header(&genuine, "ce_time", "yesterday"),
        with_header(&genuine, "ce_source", "/member"),
        with_header(&genuine, "ce_specversion", "0.3"),
        with_header(&genuine, "content-type", "text/plain"),
    ];
    world.topics.write(&corrupted).await;
    let summary = report(world, folder, 1).await;
    let invalid = summary["invalid"].as_array().expect("invalid records");
    assert_eq!((invalid.len(), &summary["seen"]), (corrupted.len(), &json!({})), "{summary}");
}

fn with_header(record: &Record, name: &str, value: &str) -> Record {
    let mut other = record.clone();
    let headers = ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"];
    let headers = headers.into_iter().chain(["ce_partitionkey", "ce_sequence", "ce_actor", "content-type"]);
    other.headers = headers.fold(OwnedHeaders::new(), |headers, key| {
        let genuine = record.header(key).expect("the header");
        let value = if key == name { value } else { &genuine };
        headers.insert(Header { key, value: Some(value) })
    });
    other
}

type Reactions = BTreeMap<String, BTreeSet<String>>;

/// What each service reacts to as the document says.
async fn described_reactions() -> Reactions {
    let output = validate_asyncapi(contract()).await;
    let described: Value = serde_json::from_slice(&output.stdout).expect("the operations in JSON");
    let operations = described["operations"].as_array().expect("operations");
    let mut reactions = Reactions::new();
    for operation in operations.iter().filter(|operation| operation["action"] == "receive") {
        let service = operation["service"].as_str().expect("a service").to_owned();
        let types = operation["messages"].as_array().into_iter().flatten().filter_map(Value::as_str);
        reactions.entry(service).or_default().extend(types.map(str::to_owned));
    }
    reactions
}

/// What each service reacted to: that is in its inbox.
async fn reactions(world: &World, records: &[Record]) -> Reactions {
    let types: BTreeMap<_, _> =
        records.iter().filter_map(|record| record.header("ce_id").zip(record.header("ce_type"))).collect();
    let mut reactions = Reactions::new();
    for service in SERVICES {
        let ids = AssertSqlSafe(format!("SELECT ce_id::text FROM {service}.inbox"));
        let ids: Vec<String> = sqlx::query_scalar(ids).fetch_all(&world.pool).await.expect("the inbox");
        let types = ids.iter().filter_map(|id| types.get(id).cloned()).collect();
        reactions.insert(service.to_owned(), types);
    }
    reactions
}
