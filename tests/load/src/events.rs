//! How many events a second one process publishes and handles, beside what Kafka's own tools do on the same broker.

use std::time::{Duration, Instant};

use anyhow::Context;
use local_stack::service::ServiceProcess;
use local_stack::stack::Stack;
use sqlx::{AssertSqlSafe, PgPool};

use crate::counter::counter;
use crate::{books, kafka_tool, process};

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

/// What became of so many events.
pub struct Measured {
    /// Who did what with them.
    pub what: String,
    /// How many.
    pub events: u32,
    /// From the first to the last.
    pub time: Duration,
    /// Events a second of Kafka's own tool, where it is not this one.
    pub baseline: Option<f64>,
    /// What each process of the stack used of the processors.
    pub cpu: Vec<(&'static str, Duration)>,
}

impl Measured {
    /// Events a second.
    pub fn rate(&self) -> f64 {
        f64::from(self.events) / self.time.as_secs_f64()
    }
}

/// Has so many changes of points, and a tenth as many events of members, published and handled by one process at a time.
pub async fn measure(stack: &Stack, events: u32) -> anyhow::Result<Vec<Measured>> {
    let kafka = stack.kafka().context("Kafka is not our own")?;
    let pool = PgPool::connect(&stack.database.admin_url()).await?;
    let [member, message, point, mypage] =
        ["member", "message", "point", "mypage"].map(|name| stack.service(name));
    eprintln!("books of {MEMBERS} members …");
    books::write(&pool, MEMBERS.into(), 1).await?;
    books::write_members(&pool).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&pool).await?;
    for service in [member, message, mypage] {
        stop(service).await?;
    }

    write_earnings(&pool, events).await?;
    let relaying = count_up_to(point, "outbox_relayed_total", events);
    let mut point_publishes = time(stack, "point publishes what it booked", events, relaying).await?;
    let size = kafka_tool::log_size(kafka, POINTS).await? / u64::from(events);
    kafka_tool::create_topic(kafka, BASELINE, PARTITIONS).await?;
    let producing = kafka_tool::producer_rate(kafka, BASELINE, events, size);
    let label = format!("Kafka's ProducerPerformance, {size} bytes each");
    let producer = tool(stack, &label, events, producing).await?;
    point_publishes.baseline = Some(producer.rate());

    let consuming = kafka_tool::consumer_rate(kafka, POINTS, events);
    let consumer = tool(stack, "Kafka's ConsumerPerformance", events, consuming).await?;
    let handling = handle_all(mypage, events);
    let mut mypage_handles = time(stack, "mypage handles that", events, handling).await?;
    mypage_handles.baseline = Some(consumer.rate());

    for service in [mypage, point] {
        stop(service).await?;
    }
    member.restart().await?;
    let joins = events / 20;
    write_joins(&pool, joins).await?;
    let relaying = count_up_to(member, "outbox_relayed_total", 2 * joins);
    let mut member_publishes = time(stack, "member publishes who joined", 2 * joins, relaying).await?;
    member_publishes.baseline = Some(producer.rate());
    stop(member).await?;
    let handling = handle_all(point, 2 * joins);
    let mut point_handles = time(stack, "point handles that, two an account", 2 * joins, handling).await?;
    point_handles.baseline = Some(consumer.rate());

    Ok(vec![producer, point_publishes, member_publishes, consumer, mypage_handles, point_handles])
}

/// Measures what one of the services does.
async fn time(
    stack: &Stack,
    what: &str,
    events: u32,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Measured> {
    eprintln!("{what} …");
    let (before, start) = (process::cpu_times(stack)?, Instant::now());
    work.await.with_context(|| what.to_owned())?;
    let time = start.elapsed();
    let cpu = process::cpu_times_since(&before, stack)?;
    Ok(Measured { what: what.to_owned(), events, time, baseline: None, cpu })
}

/// Measures what one of Kafka's tools does, which times itself: the start of its Java machine does not count.
async fn tool(
    stack: &Stack,
    what: &str,
    events: u32,
    rate: impl Future<Output = anyhow::Result<f64>>,
) -> anyhow::Result<Measured> {
    eprintln!("{what} …");
    let before = process::cpu_times(stack)?;
    let time = Duration::from_secs_f64(f64::from(events) / rate.await.with_context(|| what.to_owned())?);
    let cpu = process::cpu_times_since(&before, stack)?;
    Ok(Measured { what: what.to_owned(), events, time, baseline: None, cpu })
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
           FROM (SELECT number, {FIRST_APPLICANT} + number AS member_id, md5(number::text)::uuid AS membership_id
                 FROM generate_series(1, {members}) AS number) AS applicant,
                (VALUES (1, 'MemberJoined', 'READY'), (2, 'MemberStatusChanged', 'NORMAL')) AS told (version, type, status)
           ORDER BY version, number"#
    );
    sqlx::raw_sql(AssertSqlSafe(insert)).execute(pool).await?;
    Ok(())
}

/// The ids of events begin with the time, as a UUID of version 7: the index of an inbox grows at its end.
const TIME_ORDERED_ID: &str =
    "encode(substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                                      || substring(uuid_send(gen_random_uuid()) FROM 7), 'hex')::uuid";
const TRACEPARENT: &str = "format('00-%s-%s-01', md5(number::text), left(md5(number::text), 16))";
