//! How many events a second one process publishes and handles, beside what Kafka's own tools do on the same broker.

use std::time::{Duration, Instant};

use anyhow::Context;
use local_stack::service::ServiceProcess;
use local_stack::stack::Stack;
use sqlx::{AssertSqlSafe, PgPool};

use crate::counter::counter;
use crate::scripts::TIME_ORDERED_ID;
use crate::table::Row;
use crate::{books, kafka_tool, process, progress};

/// Of how many members there are books and pages.
const MEMBERS: u32 = 100_000;
/// The ids of those who join, beside these.
const FIRST_APPLICANT: u32 = 2_000_000;
/// As many as the services make of each of their topics.
const PARTITIONS: u32 = 12;
const POINTS: &str = "mileage.point";
/// Without keys and headers: the topic of Kafka's own producer.
const BASELINE: &str = "baseline";

const LOOK_EVERY: Duration = Duration::from_millis(50);
const STOP_DEADLINE: Duration = Duration::from_secs(35);

/// Has so many changes of points, and a tenth as many events of members, published and handled by one process at a time.
pub async fn measure(stack: &Stack, events: u32) -> anyhow::Result<Vec<Row>> {
    let kafka = stack.kafka().context("Kafka is not our own")?;
    let pool = PgPool::connect(&stack.database.admin_url()).await?;
    let [member, message, point, mypage] =
        ["member", "message", "point", "mypage"].map(|name| stack.service(name));
    progress::say(format!("events: books of {MEMBERS} members"));
    books::write(&pool, MEMBERS.into(), 1).await?;
    books::write_members(&pool).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&pool).await?;
    for service in [member, message, mypage] {
        stop(service).await?;
    }

    write_earnings(&pool, events).await?;
    let relaying = count_up_to(point, "outbox_relayed_total", events);
    let point_publishes = time(stack, "point publishes what it booked", events, relaying).await?;
    let size = kafka_tool::log_size(kafka, POINTS).await? / u64::from(events);
    kafka_tool::create_topic(kafka, BASELINE, PARTITIONS).await?;
    progress::say(format!("events: Kafka's ProducerPerformance, {size} bytes each"));
    let producer = kafka_tool::producer_rate(kafka, BASELINE, events, size).await?;
    progress::say("events: Kafka's ConsumerPerformance");
    let consumer = kafka_tool::consumer_rate(kafka, POINTS, events).await?;
    let handling = handle_all(mypage, events);
    let mypage_handles = time(stack, "mypage handles that", events, handling).await?;

    for service in [mypage, point] {
        stop(service).await?;
    }
    member.restart().await?;
    progress::say("events: member passes over what point published");
    count_up_to(member, "events_handled_total", events).await?;
    let joins = events / 20;
    write_joins(&pool, joins).await?;
    let relaying = count_up_to(member, "outbox_relayed_total", 2 * joins);
    let member_publishes = time(stack, "member publishes who joined", 2 * joins, relaying).await?;
    stop(member).await?;
    let handling = handle_all(point, 2 * joins);
    let point_handles = time(stack, "point handles that, two an account", 2 * joins, handling).await?;

    let beside_producer = |row: Row| row.beside("ProducerPerformance", producer);
    let beside_consumer = |row: Row| row.beside("ConsumerPerformance", consumer);
    Ok(vec![
        beside_producer(point_publishes),
        beside_producer(member_publishes),
        beside_consumer(mypage_handles),
        beside_consumer(point_handles),
    ])
}

/// Measures what one of the services does.
async fn time(
    stack: &Stack,
    what: &str,
    events: u32,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Row> {
    progress::say(format!("events: {what}"));
    let (before, start) = (process::cpu_times(stack)?, Instant::now());
    work.await.with_context(|| what.to_owned())?;
    let time = start.elapsed();
    let cpu = process::cpu_times_since(&before, stack)?;
    Ok(Row::new(what, f64::from(events) / time.as_secs_f64()).cpu(&cpu, events.into()))
}

/// Starts a service and waits until it has handled so many events. That it joins its group first counts.
async fn handle_all(service: &ServiceProcess, events: u32) -> anyhow::Result<()> {
    service.restart().await?;
    count_up_to(service, "events_handled_total", events).await
}

async fn count_up_to(service: &ServiceProcess, name: &str, count: u32) -> anyhow::Result<()> {
    while counter(service, name, "").await? < u64::from(count) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn stop(service: &ServiceProcess) -> anyhow::Result<()> {
    service.terminate(STOP_DEADLINE).await.with_context(|| format!("{} did not run", service.name()))?;
    Ok(())
}

/// Puts earnings into the outbox of point in one transaction, in turn for each account, as the service writes them.
async fn write_earnings(pool: &PgPool, events: u32) -> sqlx::Result<()> {
    let insert = format!(
        r#"INSERT INTO point.outbox (ce_id, type, topic, key, sequence, membership_id, payload, traceparent, actor)
           SELECT {TIME_ORDERED_ID}, 'PointsEarned', 'point', member_id::text, round, membership_id,
                  format('{{"memberId":%s,"membershipId":"%s","amount":10,"remainPoint":%s,"entryType":"EARN",'
                         '"occurredAt":"2026-11-25T08:09:10.123456Z","transactionId":%s,"reference":"R-%s",'
                         '"lots":[{{"lotId":%s,"points":10,"expiresAt":"2031-11-30T15:00:00Z"}}],'
                         '"nextExpiration":{{"points":1000,"expiresAt":"2031-11-30T15:00:00Z"}}}}',
                         member_id, membership_id, 1000 + 10 * round, {MEMBERS} + number, number, {MEMBERS} + number),
                  {TRACEPARENT}, 'operator'
           FROM (SELECT number, 1 + (number - 1) % {MEMBERS} AS member_id, 1 + (number - 1) / {MEMBERS} AS round
                 FROM generate_series(1, {events}) AS number) AS earning
                JOIN point.account USING (member_id)
           ORDER BY number"#
    );
    sqlx::raw_sql(AssertSqlSafe(insert)).execute(pool).await?;
    Ok(())
}

/// Puts what tells of new members into the outbox of member in one transaction: that they joined, then that they were
/// welcomed, which gives them an account and their sign-up points.
async fn write_joins(pool: &PgPool, members: u32) -> sqlx::Result<()> {
    let insert = format!(
        r#"INSERT INTO member.outbox (ce_id, type, topic, key, sequence, membership_id, payload, traceparent, actor)
           SELECT {TIME_ORDERED_ID}, type, 'member', member_id::text, version, membership_id,
                  format('{{"memberId":%s,"membershipId":"%s","phoneNo":"0109%s","nickname":"bench","memberStatus":"%s",'
                         '"joinedAt":"2026-11-25T08:09:10.123456Z"}}',
                         member_id, membership_id, lpad(member_id::text, 7, '0'), status),
                  {TRACEPARENT}, 'operator'
           FROM (SELECT number, {FIRST_APPLICANT} + number AS member_id,
                        md5(({FIRST_APPLICANT} + number)::text)::uuid AS membership_id
                 FROM generate_series(1, {members}) AS number) AS applicant,
                (VALUES (1, 'MemberJoined', 'READY'), (2, 'MemberStatusChanged', 'NORMAL')) AS told (version, type, status)
           ORDER BY version, number"#
    );
    sqlx::raw_sql(AssertSqlSafe(insert)).execute(pool).await?;
    Ok(())
}

const TRACEPARENT: &str = "format('00-%s-%s-01', md5(number::text), left(md5(number::text), 16))";
