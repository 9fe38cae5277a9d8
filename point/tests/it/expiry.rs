//! Points that are not used in time.

use chrono::{DateTime, TimeDelta, Utc};
use point::usecase::expire_points::{BEGINNING, expire_batch};
use serde_json::json;
use shared_events::delivery::Wake;

use crate::support::{Membership, Service, entries, now};

/// How many due lots a batch looks for.
const BATCH: i64 = 100;

/// When the points of these tests expire.
fn end() -> DateTime<Utc> {
    "2026-04-01T00:00:00Z".parse().expect("a time")
}

fn a_second_before() -> DateTime<Utc> {
    end() - TimeDelta::seconds(1)
}

async fn with_100_points_until_the_end(membership: Membership) -> Service {
    let service = Service::with_normal_member(membership).await;
    let body = json!({ "type": "EARN", "amount": 100, "reference": "R-1", "expiresAt": end() });
    service.transact(1, &body).await;
    service
}

async fn expire(service: &Service, now: DateTime<Utc>) -> usize {
    let expired = expire_batch(&service.pool, &Wake::new(), BEGINNING, BATCH, now).await;
    expired.expect("what is due expires").0
}

/// A whole round: how many accounts each batch expired.
async fn expire_all(service: &Service, batch: i64, now: DateTime<Utc>) -> Vec<i64> {
    let (mut expired, mut behind) = (Vec::new(), Some(BEGINNING));
    while let Some(last) = behind {
        let (count, next) =
            expire_batch(&service.pool, &Wake::new(), last, batch, now).await.expect("a batch");
        expired.push(i64::try_from(count).expect("few"));
        behind = next;
    }
    expired
}

#[tokio::test]
async fn points_expire_at_the_very_second_once_and_are_published() {
    let membership = Membership::of(1);
    let service = with_100_points_until_the_end(membership).await;
    assert_eq!(expire(&service, a_second_before()).await, 0);
    assert_eq!(expire(&service, end()).await, 1);
    assert_eq!(expire(&service, end()).await, 0);

    let ledger = service.ledger(membership).await;
    assert_eq!(entries(&ledger)[2..], [("EXPIRE", -100, 1_000)]);
    let published = service.published(1).await;
    let event = published.last().expect("an event");
    assert_eq!((event.event_type.as_str(), event.sequence), ("PointsExpired", 3));
    assert_eq!((&event.payload["amount"], &event.payload["remainPoint"]), (&json!(100), &json!(1_000)));
    assert_eq!(event.payload["lots"][0]["points"], -100);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn points_that_are_due_cannot_be_used_whether_or_not_the_job_has_come_by() {
    let membership = Membership::of(1);
    let service = with_100_points_until_the_end(membership).await;
    let spend = |amount: i64| json!({ "type": "USE", "amount": amount, "reference": "R-2" });
    assert_eq!(service.at(a_second_before).get("/points/1").await.number("remainPoint"), 1_100);

    let late = service.at(end);
    let shown = late.get("/points/1").await;
    assert_eq!(
        (shown.number("remainPoint"), shown.body["expirations"].as_array().map(Vec::len)),
        (1_000, Some(1))
    );
    let refused = late.post("/points/1/transactions", &spend(1_001)).await;
    assert_eq!((refused.problem(), refused.number("remainPoint")), ((422, "insufficient-points"), 1_000));
    late.transact(1, &spend(1_000)).await;
    let ledger = service.ledger(membership).await;
    assert_eq!(entries(&ledger)[2..], [("EXPIRE", -100, 1_000), ("USE", -1_000, 0)]);
    assert_eq!(expire(&service, end()).await, 0);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn a_withdrawal_forfeits_what_is_still_valid() {
    let membership = Membership::of(1);
    let service = with_100_points_until_the_end(membership).await;
    assert_eq!(service.at(end).forfeit(membership).await.number("forfeitedPoint"), 1_000);
    assert_eq!(expire(&service, end()).await, 0);
    let ledger = service.ledger(membership).await;
    assert_eq!(entries(&ledger)[2..], [("EXPIRE", -100, 1_000), ("FORFEIT", -1_000, 0)]);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn many_accounts_expire_batch_by_batch_and_one_that_is_in_use_is_left_for_the_next_time() {
    let service = Service::start().await;
    let accounts = BATCH + 50;
    for statement in [
        "INSERT INTO holder (member_id) SELECT id FROM generate_series(1, $1) AS id",
        "INSERT INTO account (membership_id, member_id, member_status, member_version, balance, version, opened_at)
         SELECT gen_random_uuid(), id, 'NORMAL', 1, 30, 0, now() FROM generate_series(1, $1) AS id",
        "INSERT INTO ledger_entry (membership_id, type, amount, balance_after, actor, occurred_at)
         SELECT membership_id, 'EARN', 30, 30, 'test', now() FROM account WHERE member_id <= $1",
        "INSERT INTO lot (membership_id, entry_id, amount, remaining, earned_at, expires_at)
         SELECT membership_id, entry_id, 30, 30, now(), '2026-04-01'
         FROM ledger_entry JOIN account USING (membership_id) WHERE member_id <= $1",
        "INSERT INTO lot_movement (entry_id, lot_id, amount)
         SELECT entry_id, lot_id, 30 FROM lot JOIN account USING (membership_id) WHERE member_id <= $1",
    ] {
        sqlx::query(statement).bind(accounts).execute(&service.pool).await.expect("the accounts are made");
    }
    let mut in_use = service.pool.begin().await.expect("a transaction");
    sqlx::query("SELECT FROM account WHERE member_id = 1 FOR UPDATE")
        .execute(&mut *in_use)
        .await
        .expect("a lock");

    // Books that do not fit, and are the first: they do not stand in the way.
    service.as_owner("UPDATE account SET balance = 31 WHERE member_id = 2").await;
    service.as_owner("UPDATE lot SET expires_at = '2026-03-31' FROM account a WHERE a.membership_id = lot.membership_id AND member_id = 2").await;
    let expired = expire_all(&service, BATCH, end()).await;
    assert_eq!(expired.iter().sum::<i64>(), accounts - 2);
    assert!(expired.iter().all(|count| *count <= BATCH), "{expired:?}");
    in_use.rollback().await.expect("the lock is released");
    service.as_owner("UPDATE account SET balance = 30 WHERE member_id = 2").await;
    assert_eq!(expire_all(&service, BATCH, end()).await.iter().sum::<i64>(), 2);
    service.assert_books_are_right().await;
    let events = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE type = 'PointsExpired'");
    let events: i64 = events.fetch_one(&service.pool).await.expect("the events");
    assert_eq!(events, accounts);
}

#[tokio::test]
async fn an_account_of_many_due_lots_loses_them_in_several_transactions() {
    let membership = Membership::of(1);
    let service = Service::with_normal_member(membership).await;
    for number in 0..40 {
        let expires_at = end() - TimeDelta::seconds(number / 4);
        let reference = format!("R-{number}");
        let body = json!({ "type": "EARN", "amount": 1, "reference": reference, "expiresAt": expires_at });
        service.transact(1, &body).await;
    }
    let before = service.ledger(membership).await.len();
    assert_eq!(expire_all(&service, 1, end()).await, [1, 1, 1, 1, 0]);
    let expired =
        [("EXPIRE", -11, 1_029), ("EXPIRE", -11, 1_018), ("EXPIRE", -11, 1_007), ("EXPIRE", -7, 1_000)];
    assert_eq!(entries(&service.ledger(membership).await)[before..], expired);
    let published = service.published(1).await;
    let next: Vec<&serde_json::Value> =
        published.iter().map(|event| &event.payload["nextExpiration"]["points"]).collect();
    assert_eq!(next[published.len() - 4..], [1_000; 4], "what is due is not what expires next");
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn an_event_of_very_many_lots_leaves_them_to_the_transaction() {
    let membership = Membership::of(1);
    let service = with_100_points_until_the_end(membership).await;
    for statement in [
        "INSERT INTO lot (membership_id, entry_id, amount, remaining, earned_at, expires_at)
         SELECT membership_id, entry_id, 1, 1, now(), expires_at FROM lot, generate_series(1, 5000) WHERE amount = 100",
        "INSERT INTO lot_movement (entry_id, lot_id, amount) SELECT entry_id, lot_id, 1 FROM lot WHERE amount = 1",
        "UPDATE ledger_entry SET amount = 5100, balance_after = 6100 WHERE amount = 100",
        "UPDATE account SET balance = 6100",
    ] {
        service.as_owner(statement).await;
    }
    let answer = service.at(end).post("/points/1/adjustments", &json!({ "amount": -1, "reason": "x" })).await;
    assert_eq!(answer.number("remainPoint"), 999, "{answer:?}");
    let published = service.published(1).await;
    let [.., expired, _] = published.as_slice() else { panic!("{published:?}") };
    assert_eq!((&expired.payload["amount"], &expired.payload["lots"]), (&json!(5_100), &json!([])));
    let path = format!("/points/1/transactions/{}", expired.payload["transactionId"]);
    let told = service.get(&path).await.body["lots"].as_array().map(Vec::len);
    assert_eq!(told, Some(5_001));
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn an_account_that_has_too_many_lots_earns_no_more() {
    let service = with_100_points_until_the_end(Membership::of(1)).await;
    for statement in [
        "INSERT INTO lot (membership_id, entry_id, amount, remaining, earned_at, expires_at)
         SELECT membership_id, entry_id, 1, 1, now(), expires_at FROM lot, generate_series(1, 9999) WHERE amount = 100",
        "UPDATE account SET balance = balance + 9999",
    ] {
        service.as_owner(statement).await;
    }
    let earning = json!({ "type": "EARN", "amount": 1, "reference": "R-2" });
    let path = "/points/1/transactions";
    assert_eq!(service.post(path, &earning).await.problem(), (422, "too-many-lots"));
    service.transact(1, &json!({ "type": "USE", "amount": 101, "reference": "R-3" })).await;
    service.transact(1, &earning).await;
}

#[tokio::test]
async fn of_two_replicas_one_expires_points_at_a_time() {
    let service = with_100_points_until_the_end(Membership::of(1)).await;
    let mut leader = service.pool.begin().await.expect("a transaction");
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('point.expiry'))")
        .execute(&mut *leader)
        .await
        .expect("the lock");
    assert_eq!(expire(&service, end()).await, 0);
    leader.rollback().await.expect("the leader is gone");
    assert_eq!(expire(&service, end()).await, 1);
    assert!(service.lots(1).await.iter().all(|(_, expires_at)| *expires_at > now()));
}
