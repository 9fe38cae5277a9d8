//! A bad gateway makes nobody ABNORMAL, and no message is accepted twice, whoever dies meanwhile.

use std::collections::HashSet;
use std::time::Duration;

use e2e::{
    Fate, Moment, Mood, Outcome, SMS_SECRET, Sent, SmsProvider, World, WorldOptions, block_on, eventually,
    eventually_within,
};
use reqwest::Method;
use serde_json::json;

/// How long the gateway is away: two minutes with LONG=1.
fn outage() -> Duration {
    Duration::from_secs(if std::env::var_os("LONG").is_some() { 120 } else { 6 })
}

/// Longer than the longest wait between two attempts.
const CAUGHT_UP: Duration = Duration::from_secs(120);

async fn world_with(provider: &SmsProvider, further: &[(&'static str, &'static str, &str)]) -> World {
    let mut env = provider.env();
    env.extend(further.iter().map(|(service, name, value)| (*service, *name, (*value).to_owned())));
    World::start_with(WorldOptions { env, ..Default::default() }).await
}

/// Spares a test the wait for the leases of a sender that has died.
async fn let_leases_end(world: &World) {
    let end = "UPDATE message.message SET due_at = now() WHERE status = 'QUEUED'";
    sqlx::query(end).execute(&world.pool).await.expect("the leases end");
}

async fn until_normal(world: &World, member_id: i64) {
    let path = format!("/members/{member_id}");
    world.client.until(&path, 200, json!({ "memberStatus": "NORMAL" })).await;
}

#[test]
fn a_sender_that_dies_between_sending_and_committing_sends_nothing_twice() {
    block_on(async {
        let provider = SmsProvider::start(Duration::ZERO).await;
        let world = world_with(&provider, &[]).await;
        let breakpoints = world.breakpoints().await;
        for (member_id, moment, outcome) in
            [(1, Moment::Write, Outcome::RollBack), (2, Moment::Commit, Outcome::GoOn)]
        {
            let breakpoint = breakpoints.arm("message UPDATE message SENT", moment).await;
            assert_eq!(world.client.join_with_own_number(member_id).await.status, 201);
            breakpoint.reached().await;
            world.service("message").kill().await;
            breakpoint.disarm(outcome).await;
            let_leases_end(&world).await;
            world.service("message").restart().await.expect("it starts again");
            until_normal(&world, member_id).await;
        }
        let accepted = provider.accepted();
        assert_eq!((accepted.len(), accepted.values().sum::<u32>()), (2, 2), "{accepted:?}");
        world.stop().await;
    });
}

#[test]
fn of_10_000_messages_two_replicas_send_each_once_although_one_of_them_dies() {
    block_on(async {
        const MESSAGES: usize = 10_000;
        let provider = SmsProvider::start(Duration::from_millis(20)).await;
        let limits = [("message", "SMS_LIMIT_PER_PREFIX", "none"), ("message", "SMS_TIMEOUT_MS", "5000")];
        let world = world_with(&provider, &limits).await;
        let replica = world.start_replica("message").await;
        sqlx::query(
            "INSERT INTO message.message (member_id, membership_id, kind, phone_no, status, due_at, queued_at)
             SELECT id, gen_random_uuid(), 'WELCOME', '010' || lpad(id::text, 8, '0'), 'QUEUED', now(), now()
             FROM generate_series(1, $1) AS id",
        )
        .bind(i64::try_from(MESSAGES).expect("not that many"))
        .execute(&world.pool)
        .await
        .expect("the messages are queued");

        eventually("some are sent", || async {
            if provider.accepted().len() > 2_000 { Ok(()) } else { Err("not enough") }
        })
        .await;
        replica.kill().await;
        let_leases_end(&world).await;
        eventually_within(CAUGHT_UP, "all are sent", || async {
            let sent = sqlx::query_scalar("SELECT count(*) FROM message.message WHERE status = 'SENT'");
            let sent: i64 = sent.fetch_one(&world.pool).await.expect("the messages");
            if usize::try_from(sent) == Ok(MESSAGES) { Ok(()) } else { Err(format!("{sent}")) }
        })
        .await;

        assert_eq!(provider.accepted().len(), MESSAGES);
        world.quiet().await;
        let events = world.topics.read("message").await;
        let members: HashSet<_> = events.iter().map(|event| event.key.clone()).collect();
        let ids: HashSet<_> = events.iter().map(|event| event.header("ce_id")).collect();
        assert_eq!((members.len(), ids.len()), (MESSAGES, MESSAGES), "one event each");
        world.stop().await;
    });
}

#[test]
fn an_outage_of_the_gateway_makes_no_new_member_abnormal() {
    block_on(async {
        let provider = SmsProvider::start(Duration::ZERO).await;
        let world = world_with(&provider, &[]).await;
        let mut members = 0;
        for mood in [Mood::Down, Mood::Silent] {
            provider.set(mood);
            let over = tokio::time::Instant::now() + outage() / 2;
            while tokio::time::Instant::now() < over {
                members += 1;
                assert_eq!(world.client.join_with_own_number(members).await.status, 201);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        provider.set(Mood::Accepting);
        eventually_within(CAUGHT_UP, "all are NORMAL", || async {
            let statuses: Vec<(String, i64)> =
                sqlx::query_as("SELECT status, count(*) FROM member.member GROUP BY status")
                    .fetch_all(&world.pool)
                    .await
                    .expect("the members");
            let is_so = statuses == [("NORMAL".to_owned(), members)];
            if is_so { Ok(()) } else { Err(format!("{statuses:?}")) }
        })
        .await;
        world.quiet().await;
        assert_eq!(world.violations(&[]).await, Vec::<String>::new());
        let accepted = provider.accepted();
        assert_eq!(i64::try_from(accepted.len()), Ok(members));
        assert!(accepted.values().all(|times| *times == 1), "what was accepted in silence is found");
        world.stop().await;
    });
}

#[test]
fn a_welcome_that_an_operator_has_sent_again_makes_the_member_normal_and_grants_once() {
    block_on(async {
        let provider = SmsProvider::start(Duration::ZERO).await;
        let world = world_with(&provider, &[("message", "RUST_LOG", "trace")]).await;
        provider.set(Mood::Refusing);
        assert_eq!(world.client.join_with_own_number(1).await.status, 201);
        world.client.until("/points/1", 200, json!({ "memberStatus": "ABNORMAL", "remainPoint": 0 })).await;
        let messages = world.client.get("/messages?memberId=1").await.body;
        let message = &messages["_embedded"]["messages"][0];
        assert_eq!(
            (&message["messageStatus"], &message["reason"]),
            (&json!("FAILED"), &json!("SOLAPI 3032"))
        );
        let resend = format!("/messages/{}/resend", message["messageId"]);

        provider.set(Mood::Accepting);
        let answer = world.client.call(Method::POST, &resend, None).await.expect("an answer");
        assert!(answer.shows(202, &json!({ "messageStatus": "QUEUED" })), "{answer:?}");
        until_normal(&world, 1).await;
        for collection in ["points", "mypages"] {
            let granted = json!({ "memberStatus": "NORMAL", "remainPoint": 1_000 });
            world.client.until(&format!("/{collection}/1"), 200, granted).await;
        }
        let again = world.client.call(Method::POST, &resend, None).await.expect("an answer");
        assert!(again.shows(409, &json!({ "code": "message-not-failed" })), "{again:?}");
        world.quiet().await;
        assert_eq!(world.violations(&[]).await, Vec::<String>::new());

        let log = world.service("message").log();
        assert!(log.contains("TRACE"), "everything is logged");
        for secret in [SMS_SECRET, "01000000001", "1000000001"] {
            let telling: Vec<_> = log.lines().filter(|line| line.contains(secret)).take(3).collect();
            assert!(telling.is_empty(), "{telling:#?}");
        }
        world.stop().await;
    });
}

#[test]
fn a_member_is_told_in_time_that_points_expire_and_then_they_do() {
    block_on(async {
        let provider = SmsProvider::start(Duration::ZERO).await;
        let world = world_with(&provider, &[]).await;
        world.client.join_and_be_granted(1).await;
        let now = chrono::Utc::now();
        let soon = (70, now + chrono::TimeDelta::seconds(3));
        let later = (80, now + chrono::TimeDelta::days(2));
        for (amount, expires_at) in [soon, later] {
            let reference = format!("R-{amount}");
            let earning =
                json!({ "type": "EARN", "amount": amount, "reference": reference, "expiresAt": expires_at });
            let path = "/points/1/transactions";
            let answer = world.client.call(Method::POST, path, Some(&earning)).await.expect("an answer");
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        world.client.until("/mypages/1", 200, json!({ "remainPoint": 1_150 })).await;
        world.client.until("/points/1", 200, json!({ "remainPoint": 1_080 })).await;

        // The jobs look when the service starts.
        world.service("point").restart().await.expect("it starts again");
        world.client.until("/mypages/1", 200, json!({ "remainPoint": 1_080 })).await;
        let transactions = world.client.get("/mypages/1").await.body["transactions"].clone();
        assert_eq!((&transactions[0]["type"], &transactions[0]["amount"]), (&json!("EXPIRE"), &json!(-70)));
        let notice = format!("적립금 80점이 {}까지 유효합니다.", seoul_day(later.1));
        eventually("the notice is sent", || async {
            let texts = provider.texts("01000000001");
            let is_told = texts.iter().filter(|text| text.contains(&notice)).count() == 1;
            if is_told { Ok(()) } else { Err(format!("{notice}: {texts:?}")) }
        })
        .await;

        world.service("point").restart().await.expect("it starts again");
        world.quiet().await;
        let sent = [soon, later].map(|(amount, _)| Sent { member_id: 1, amount, fate: Fate::Done });
        assert_eq!(provider.texts("01000000001").len(), 2, "a welcome and one notice");
        assert_eq!(world.violations(&sent).await, Vec::<String>::new());
        world.stop().await;
    });
}

/// The last day, in Seoul, on which something is valid that expires then.
fn seoul_day(expires_at: chrono::DateTime<chrono::Utc>) -> chrono::NaiveDate {
    (expires_at + chrono::TimeDelta::hours(9)).date_naive()
}
