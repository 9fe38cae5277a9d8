//! What `docs/operations.md` tells the engineer on call to do leads to a good end: after Postgres was restored to a time
//! that Kafka is ahead of, and after all of Kafka was lost.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use e2e::{
    Client, Fate, Moment, Mood, Outcome, SERVICES, Sent, SmsProvider, World, WorldOptions, block_on,
    eventually, postgres,
};
use futures::future::join_all;
use local_stack::kafka::{Kafka, KafkaOptions};
use local_stack::scratch::ScratchDir;
use reqwest::Method;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::reconcile::reconcile;

const TOPICS: [&str; 3] = ["member", "message", "point"];
const STOP_DEADLINE: Duration = Duration::from_secs(35);

#[test]
fn after_postgres_has_gone_back_in_time_its_books_my_page_and_the_log_agree_again() {
    block_on(async {
        let provider = SmsProvider::start(Duration::ZERO).await;
        let mut world = World::start_with(WorldOptions { env: provider.env(), ..Default::default() }).await;
        let client = world.client.clone();
        join_all([1, 2, 3, 4, 8].map(|member_id| client.join_and_be_granted(member_id))).await;
        assert_eq!(earn_for_two_days(&client).await, 201);
        assert_eq!(client.withdraw(4).await.status, 204);
        world.quiet().await;
        // 5 and 9 have no text yet. Not all who are to hear it have heard that 3 has earned and that 6 has joined.
        provider.set(Mood::Down);
        for member_id in [5, 9] {
            assert_eq!(client.join_with_own_number(member_id).await.status, 201);
        }
        until(&world, "1 FROM message.message WHERE attempts > 0 AND status = 'QUEUED' HAVING count(*) = 2")
            .await;
        stop(&world, "message").await;
        // As if nobody had tried to send it yet: otherwise the gateway would be asked in any case.
        change(&world, "UPDATE message.message SET may_be_accepted = false WHERE member_id = 9").await;
        stop(&world, "mypage").await;
        assert_eq!(client.change_points(3, 30).await.status, 200);
        assert_eq!(client.join_with_own_number(6).await.status, 201);
        client.until("/points/6", 200, json!({ "memberStatus": "READY" })).await;
        until(&world, PUBLISHED).await;

        let backup = ScratchDir::new("backup").expect("a folder");
        let dump = backup.path().join("dump").display().to_string();
        let since = Utc::now().timestamp_millis();
        run("pg_dump", &["--format=custom", "--file", &dump, &url(world.prefix()).await], "").await;

        provider.set(Mood::Accepting);
        change(&world, "UPDATE message.message SET due_at = now() WHERE status = 'QUEUED'").await;
        // The job that tells 1 that points expire looks when point starts.
        stop(&world, "point").await;
        for service in ["message", "mypage", "point"] {
            world.service(service).restart().await.expect("it starts again");
        }
        join_all([5, 6, 9].map(|member_id| until_normal(&client, member_id))).await;
        until_told(&provider, 1, 2).await;
        for amount in [5, 6, 7] {
            assert_eq!(client.change_points(3, amount).await.status, 200);
        }
        do_what_is_lost(&client).await;
        world.quiet().await;
        let told = provider.accepted().len();

        world.services.stop().await;
        let mut lost = String::new();
        for topic in TOPICS {
            lost += &world.topics.print_since(topic, since).await;
        }
        // As if the sender had died before it could tell that 9 has its text.
        let is_known = |line: &&str| !(line.contains("ce_type:MessageSent") && line.contains("\t9\t"));
        let lost: String = lost.split_inclusive('\n').filter(is_known).collect();
        let drop = format!("DROP DATABASE {} WITH (FORCE)", world.prefix());
        run("psql", &["--command", &drop, &url("postgres").await], "").await;
        run("pg_restore", &["--create", "--dbname", &url("postgres").await, &dump], "").await;
        for service in SERVICES {
            world.topics.put_to_end(&world.group(service), &TOPICS).await;
        }
        script(&world, "lift-versions.sql", &["--single-transaction"], &lost).await;
        let hanging = script(&world, "publish-again.sql", &[], "").await;
        assert_eq!(member_ids(&hanging), [0; 0]);
        world.restart_with(&[]).await;
        let client = world.client.clone();
        join_all([1, 2, 3, 5, 6, 8, 9].map(|member_id| until_normal(&client, member_id))).await;
        for member_id in [4, 7] {
            client.until(&format!("/mypages/{member_id}"), 404, json!({})).await;
            assert_eq!(newest(&world, member_id).await, "MemberWithdrawn");
        }
        world.quiet().await;
        // My page has missed what 3 earned.
        assert_differences(&world, 1).await;
        script(&world, "mend-pages.sql", &[], "").await;
        assert_differences(&world, 0).await;
        let accepted = provider.accepted();
        assert_eq!((accepted.len(), accepted.values().sum::<u32>() as usize), (told, told));

        let mut lost: Vec<_> = script(&world, "list-lost.sql", &[], "").await.lines().map(command).collect();
        lost.sort_unstable();
        assert_eq!(lost, LOST);
        assert_eq!(earn_for_two_days(&client).await, 409, "it is not lost");
        do_what_is_lost(&client).await;
        // The shop of 3 does not come again. Point tells the log what is so.
        for amount in [1, -1] {
            let body = json!({ "amount": amount, "reason": "restored" });
            let path = "/points/3/adjustments";
            let answer = client.call(Method::POST, path, Some(&body)).await.expect("an answer");
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        let booked = [(1, 600), (1, 500), (1, -100), (3, 30), (7, 9), (5, 77), (6, 78)];
        all_is_well(world, &provider, &[(5, 77), (6, 78)], &booked).await;
    });
}

/// Between the time that Postgres goes back to and now: one who uses points, one who joins, one who joins anew, one who
/// withdraws and one who withdraws and joins anew.
async fn do_what_is_lost(client: &Client) {
    for member_id in [2, 8] {
        assert_eq!(client.withdraw(member_id).await.status, 204);
    }
    join_all([7, 4, 8].map(|member_id| client.join_and_be_granted(member_id))).await;
    for (member_id, amount) in [(1, 500), (1, -100), (7, 9)] {
        assert_eq!(client.change_points(member_id, amount).await.status, 200);
    }
}

/// That, and what 3 earns.
const LOST: [&str; 11] = [
    "1 PointsEarned",
    "1 PointsUsed",
    "2 MemberWithdrawn",
    "3 PointsEarned",
    "3 PointsEarned",
    "3 PointsEarned",
    "4 MemberJoined",
    "7 MemberJoined",
    "7 PointsEarned",
    "8 MemberJoined",
    "8 MemberWithdrawn",
];

#[test]
fn after_all_of_kafka_was_lost_nobody_waits_for_what_was_on_its_way() {
    block_on(async {
        let provider = SmsProvider::start(Duration::ZERO).await;
        let kafka = Kafka::start(KafkaOptions::default()).await.expect("Kafka starts");
        let brokers = Some(kafka.brokers());
        let mut world =
            World::start_with(WorldOptions { env: provider.env(), brokers, ..Default::default() }).await;
        let breakpoints = world.breakpoints().await;
        let client = world.client.clone();
        join_all([1, 2, 3].map(|member_id| client.join_and_be_granted(member_id))).await;
        world.quiet().await;

        // Message hears of 4, and not of 5.
        provider.set(Mood::Down);
        assert_eq!(client.join_with_own_number(4).await.status, 201);
        until(&world, "1 FROM message.message WHERE member_id = 4 AND attempts > 0").await;
        let breakpoint = breakpoints.arm("message INSERT message QUEUED", Moment::Write).await;
        assert_eq!(client.join_with_own_number(5).await.status, 201);
        breakpoint.reached().await;
        client.until("/points/5", 200, json!({ "memberStatus": "READY" })).await;
        // My page does not hear of what 1 earns; member neither that 2 has forfeited nor that 4 has its text.
        stop(&world, "mypage").await;
        stop(&world, "member").await;
        assert_eq!(client.change_points(1, 111).await.status, 200);
        forfeit(&world, 2).await;
        provider.set(Mood::Accepting);
        change(&world, "UPDATE message.message SET due_at = now() WHERE status = 'QUEUED'").await;
        until_told(&provider, 4, 1).await;
        until(&world, "1 FROM message.message WHERE member_id = 4 AND status = 'SENT'").await;
        until(&world, PUBLISHED).await;
        world.service("message").kill().await;
        breakpoint.disarm(Outcome::RollBack).await;
        world.services.stop().await;
        kafka.kill().await;

        let empty = KafkaOptions { port: Some(kafka.port()), ..Default::default() };
        let _kafka = Kafka::start(empty).await.expect("Kafka starts");
        world.restart_with(&[]).await;
        let client = world.client.clone();
        let hanging = script(&world, "publish-again.sql", &["--set", "all=true"], "").await;
        assert_eq!(member_ids(&hanging), [2]);
        assert_eq!(client.withdraw(2).await.status, 204);
        join_all([1, 3, 4, 5].map(|member_id| until_normal(&client, member_id))).await;
        world.quiet().await;
        // My page has missed what 1 earned.
        assert_differences(&world, 1).await;
        script(&world, "mend-pages.sql", &[], "").await;
        assert_differences(&world, 0).await;

        let commands = [(1, 71), (3, 73), (4, 74), (5, 75)];
        let booked: Vec<_> = commands.into_iter().chain([(1, 111)]).collect();
        all_is_well(world, &provider, &commands, &booked).await;
    });
}

/// New commands reach my page, all that was booked is in the books once, these and my page agree, also when it is rebuilt
/// from the log, nothing is parked, and each text was sent once.
async fn all_is_well(
    mut world: World,
    provider: &SmsProvider,
    commands: &[(i64, i64)],
    booked: &[(i64, i64)],
) {
    for (member_id, amount) in commands {
        let answer = world.client.change_points(*member_id, *amount).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let path = format!("/mypages/{member_id}");
        world.client.until(&path, 200, json!({ "remainPoint": answer.body["remainPoint"] })).await;
    }
    let sent = booked.iter().map(|&(member_id, amount)| Sent { member_id, amount, fate: Fate::Done });
    let sent: Vec<_> = sent.collect();
    world.assert_books_are_right(&sent).await;
    assert_differences(&world, 0).await;

    let pages = pages(&world).await;
    world.services.stop().await;
    change(&world, "TRUNCATE mypage.page, mypage.page_transaction, mypage.inbox, mypage.parked_event").await;
    let rebuilt = world.group("mypage") + ".rebuilt";
    world.restart_with(&[("mypage", "CONSUMER_GROUP", &rebuilt)]).await;
    world.quiet_for(&[(rebuilt, &["member", "point"])]).await;
    assert_eq!(self::pages(&world).await, pages);
    assert_eq!(world.violations(&sent).await, Vec::<String>::new());
    assert_differences(&world, 0).await;
    assert!(provider.accepted().values().all(|times| *times == 1), "{:?}", provider.accepted());
    world.stop().await;
}

/// Books points of 1 that expire soon, with a receipt, and returns the status.
async fn earn_for_two_days(client: &Client) -> u16 {
    let expires_at = Utc::now() + TimeDelta::days(2);
    let body = json!({ "type": "EARN", "amount": 600, "reference": "R-1", "expiresAt": expires_at });
    let path = "/points/1/transactions";
    client.call(Method::POST, path, Some(&body)).await.expect("an answer").status.as_u16()
}

/// Closes an account as member does, which dies before it hears of that.
async fn forfeit(world: &World, member_id: i64) {
    let membership_id: String =
        sqlx::query_scalar("SELECT membership_id::text FROM member.member WHERE member_id = $1")
            .bind(member_id)
            .fetch_one(&world.pool)
            .await
            .expect("the membership");
    let url = format!("{}/forfeitures/{member_id}", world.service("point").internal_url());
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = http.put(url).json(&json!({ "membershipId": membership_id }));
    assert_eq!(request.send().await.expect("an answer").status(), 200);
}

async fn until_normal(client: &Client, member_id: i64) {
    for collection in ["members", "points", "mypages"] {
        client.until(&format!("/{collection}/{member_id}"), 200, json!({ "memberStatus": "NORMAL" })).await;
    }
}

async fn until_told(provider: &SmsProvider, member_id: i64, times: usize) {
    eventually("the text is sent", || async {
        let texts = provider.texts(&format!("010{member_id:08}"));
        if texts.len() == times { Ok(()) } else { Err(format!("{texts:?}")) }
    })
    .await;
}

const PUBLISHED: &str =
    "1 WHERE NOT EXISTS (SELECT FROM member.outbox) AND NOT EXISTS (SELECT FROM message.outbox)
               AND NOT EXISTS (SELECT FROM point.outbox)";

/// Waits until `SELECT` of this has a row.
async fn until(world: &World, query: &str) {
    eventually(query, || async {
        let found = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {query}")));
        let found: Option<i32> =
            found.fetch_optional(&world.pool).await.map_err(|error| error.to_string())?;
        found.ok_or_else(|| "no row".to_owned())
    })
    .await;
}

async fn change(world: &World, statement: &'static str) {
    sqlx::query(statement).execute(&world.pool).await.expect("the statement");
}

async fn stop(world: &World, service: &str) {
    world.service(service).terminate(STOP_DEADLINE).await;
}

/// The type of a member's newest event in the log.
async fn newest(world: &World, member_id: i64) -> String {
    let key = member_id.to_string();
    let records = world.topics.read("member").await;
    let own = records.iter().filter(|record| record.key == key.as_bytes());
    let version = |name: &str| name.parse::<i64>().expect("a version");
    let newest = own.max_by_key(|record| record.header("ce_sequence").map(|it| version(&it)));
    newest.and_then(|record| record.header("ce_type")).expect("an event")
}

async fn pages(world: &World) -> Vec<String> {
    let pages =
        sqlx::query_scalar("SELECT page::text FROM mypage.page WHERE phone_no IS NOT NULL ORDER BY 1");
    pages.fetch_all(&world.pool).await.expect("the pages")
}

/// Asserts how many differences `point reconcile` finds.
async fn assert_differences(world: &World, count: usize) {
    let (code, said) = reconcile(world, &["--quiet", "--patience", "0"]).await;
    assert_eq!(code, Some(i32::from(count > 0)), "{said}");
    assert!(said.contains(&format!("{count} differences")), "{said}");
}

/// A line of `list-lost.sql`, without when it was and the event.
fn command(line: &str) -> String {
    line.split('|').skip(1).take(2).collect::<Vec<_>>().join(" ")
}

/// The memberIds among the lines that `publish-again.sql` prints.
fn member_ids(printed: &str) -> Vec<i64> {
    printed.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Runs a file of `ops/postgres`, and returns what it prints.
async fn script(world: &World, file: &str, further: &[&str], input: &str) -> String {
    let file = local_stack::project::root().join("ops/postgres").join(file).display().to_string();
    let url = url(world.prefix()).await;
    let mut arguments =
        vec!["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"];
    arguments.extend(further);
    arguments.extend(["--file", &file, &url]);
    run("psql", &arguments, input).await
}

/// The superuser's URL of a database.
async fn url(database: &str) -> String {
    let server = postgres().await;
    format!("postgres://postgres@{}:{}/{database}", server.host(), server.port())
}

/// Runs one of Postgres' programs and returns what it prints.
async fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(postgres().await.program(program));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let run = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    });
    let output = run.await.expect("no panic").expect("the program runs");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
