//! A withdrawn person's phone number and nickname are nowhere: in no table, in no topic once it is compacted, in no
//! log line.

use std::fs;

use e2e::{Client, SERVICES, World, WorldOptions, block_on, eventually};
use local_stack::kafka::{Kafka, KafkaOptions};
use reqwest::Method;
use serde_json::json;
use sqlx::AssertSqlSafe;

const PHONE_NUMBERS: [&str; 2] = ["01077712345", "01066654321"];
const NICKNAMES: [&str; 2] = ["홍길동전", "Erased-By-Law"];

/// Compaction within seconds, where production waits for a day and more.
const COMPACTED_SOON: [(&str, &str); 6] = [
    ("cleanup.policy", "compact"),
    ("min.compaction.lag.ms", "0"),
    ("max.compaction.lag.ms", "500"),
    ("segment.ms", "200"),
    ("min.cleanable.dirty.ratio", "0.001"),
    ("delete.retention.ms", "100"),
];

#[test]
fn of_a_withdrawn_person_neither_phone_number_nor_nickname_is_anywhere() {
    block_on(async {
        let properties = vec![("log.cleaner.backoff.ms".to_owned(), "200".to_owned())];
        let kafka =
            Kafka::start(KafkaOptions { properties, ..Default::default() }).await.expect("Kafka starts");
        let mut env: Vec<_> = SERVICES.map(|service| (service, "RUST_LOG", "trace".to_owned())).into();
        // What the spending guard counts outlives the withdrawal.
        for limit in ["SMS_LIMIT_PER_NUMBER", "SMS_LIMIT_PER_PREFIX", "SMS_LIMIT_PER_MINUTE"] {
            env.push(("message", limit, "100".to_owned()));
        }
        let options = WorldOptions { brokers: Some(kafka.brokers()), env, ..Default::default() };
        let world = World::start_with(options).await;
        world.services.wait_until_consuming().await.expect("events flow");
        world.topics.configure("member", &COMPACTED_SOON).await;

        // Twice under the same id, with another number and name.
        for (phone_no, nickname) in PHONE_NUMBERS.into_iter().zip(NICKNAMES) {
            live_and_withdraw(&world, phone_no, nickname).await;
        }
        world.quiet().await;
        assert!(found(&world.topics, "member").await > 0, "the search finds what is there");
        assert_eq!(found_in_tables(&world).await, Vec::<String>::new());

        // A day goes by.
        let a_day_ago = "UPDATE member.tombstone SET withdrawn_at = withdrawn_at - interval '25 hours'";
        sqlx::query(a_day_ago).execute(&world.pool).await.expect("the clock is put on");
        world.service("member").restart().await.expect("member starts again");
        eventually("the topic is compacted", || async {
            match found(&world.topics, "member").await {
                0 => Ok(()),
                count => Err(format!("{count} records have personal data")),
            }
        })
        .await;
        for topic in ["message", "point"] {
            assert_eq!(found(&world.topics, topic).await, 0, "{topic}");
        }
        let left = world.topics.read("member").await;
        let types: Vec<_> = left.iter().filter_map(|record| record.header("ce_type")).collect();
        assert!(types.contains(&"MemberWithdrawn".to_owned()), "{types:?}");

        world.quiet().await;
        assert_eq!(found_in_tables(&world).await, Vec::<String>::new());
        assert!(
            world.services.all().iter().all(|service| service.log().contains("TRACE")),
            "everything is logged"
        );
        let logs = world.services.all().iter().map(|service| (service.name().to_owned(), service.log()));
        let kafkas = fs::read_to_string(kafka.log_path()).expect("the log of Kafka");
        let postgres = fs::read_to_string(e2e::postgres().await.log_path()).expect("the log of Postgres");
        for (whose, log) in logs.chain([("Kafka".to_owned(), kafkas), ("Postgres".to_owned(), postgres)]) {
            assert!(!log.is_empty(), "{whose} logs nothing");
            let telling: Vec<_> = log.lines().filter(|line| tells(line)).take(5).collect();
            assert!(telling.is_empty(), "{whose}: {telling:#?}");
        }
        world.stop().await;
    });
}

async fn live_and_withdraw(world: &World, phone_no: &str, nickname: &str) {
    let client = &world.client;
    let written = format!("{}-{}-{}", &phone_no[..3], &phone_no[3..7], &phone_no[7..]);
    let joined = client.join(1, &written, nickname).await;
    assert_eq!(joined.status, 201, "{joined:?}");
    client.until("/mypages/1", 200, json!({ "remainPoint": 1_000, "memberStatus": "NORMAL" })).await;
    refused(client, phone_no, nickname).await;
    assert_eq!(client.change_points(1, 500).await.status, 200);
    assert_eq!(client.change_points(1, -700).await.status, 200);
    assert_eq!(client.get("/messages?memberId=1").await.status, 200);
    assert_eq!(client.withdraw(1).await.status, 204);
    client.until("/mypages/1", 404, json!({})).await;
}

/// What is refused must not be written down either.
async fn refused(client: &Client, phone_no: &str, nickname: &str) {
    assert_eq!(client.join(2, phone_no, nickname).await.status, 409);
    assert_eq!(client.join(1, phone_no, nickname).await.status, 409);
    let mixed_up =
        json!({ "phoneNo": nickname, "nickname": phone_no, "memberId": phone_no, phone_no: nickname });
    let answer = client.call(Method::POST, "/members", Some(&mixed_up)).await.expect("an answer");
    assert_eq!(answer.status, 422);
    for path in
        [format!("/members/{phone_no}/x"), format!("/members/{nickname}"), format!("/points/{phone_no}")]
    {
        let status = client.get(&path).await.status.as_u16();
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    client.get(&format!("/members?phoneNo={phone_no}")).await;
    client.get(&format!("/mypages?nickname={nickname}")).await;
}

/// Whether a text has one of the phone numbers or nicknames, in any of the forms they may be written in.
fn tells(text: &str) -> bool {
    let numbers = PHONE_NUMBERS.iter().flat_map(|number| {
        let (head, tail) = (&number[3..7], &number[7..]);
        [(*number).to_owned(), number[1..].to_owned(), format!("{head}-{tail}"), format!("{head} {tail}")]
    });
    let names = NICKNAMES.iter().flat_map(|name| {
        let escaped: String = name.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let percent: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        [(*name).to_owned(), escaped, percent]
    });
    let texts: Vec<String> = numbers.chain(names).collect();
    let bytes = texts.iter().map(|text| text.bytes().map(|byte| format!("{byte:02x}")).collect());
    let written: Vec<String> = bytes.chain(texts.iter().cloned()).collect();
    written.iter().any(|form| text.contains(form))
}

/// How many records of a topic have personal data.
async fn found(topics: &e2e::Topics, topic: &str) -> usize {
    let records = topics.read(topic).await;
    records.iter().filter(|record| tells(&record.as_text())).count()
}

/// Every row of every table of every schema that has personal data.
async fn found_in_tables(world: &World) -> Vec<String> {
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_schema, table_name FROM information_schema.tables
         WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&world.pool)
    .await
    .expect("the tables");
    assert!(tables.len() > 15, "{tables:?}");
    let mut found = Vec::new();
    for (schema, table) in tables {
        let query = format!(r#"SELECT t::text FROM "{schema}"."{table}" AS t"#);
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&world.pool).await.expect("the rows");
        found.extend(rows.into_iter().filter(|row| tells(row)).map(|row| format!("{schema}.{table}: {row}")));
    }
    found
}
