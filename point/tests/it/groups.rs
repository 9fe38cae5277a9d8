//! Commands that come at the same moment share a transaction, and nothing else.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use chassis::testing::{Answer, ask_together};
use futures::future::join_all;
use serde_json::{Value, json};
use shared_events::event::MemberStatus::Normal;
use tokio::time::timeout;

use crate::support::{Membership, Service, request};

/// Members whose commands wait for each other, whatever the number of lanes.
const MEMBERS: [i64; 3] = [240, 480, 720];

/// Sooner than Postgres gives a statement up that waits for a lock.
const SOON: Duration = Duration::from_secs(5);

async fn service() -> Arc<Service> {
    let service = Service::start().await;
    for member_id in MEMBERS {
        service.deliver(Membership::of(member_id).is(Normal, 1)).await;
    }
    Arc::new(service)
}

fn command(method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Request<Body> {
    let request = request(method, path, Some("application/json"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::from(body.to_string())).expect("a request")
}

fn transaction(member_id: i64, change_type: &str, amount: i64, reference: &str) -> Request<Body> {
    let body = json!({ "type": change_type, "amount": amount, "reference": reference });
    command("POST", &format!("/points/{member_id}/transactions"), &[], &body)
}

fn change(member_id: i64, headers: &[(&str, &str)], require_point: i64) -> Request<Body> {
    command("PATCH", &format!("/points/{member_id}"), headers, &json!({ "requirePoint": require_point }))
}

/// Sends commands while a first one is kept from being written down, so that they wait together.
async fn send_together(service: &Arc<Service>, commands: Vec<Request<Body>>) -> Vec<Answer> {
    let commands = iter::once(change(MEMBERS[0], &[], 1)).chain(commands);
    let mut answers = ask_together(service.owner_url(), commands.map(|command| service.send(command))).await;
    assert_eq!(answers.remove(0).status, 200);
    answers
}

/// Waits until a statement about a table waits for a lock.
async fn waits_for_a_lock(service: &Service, table: &str) {
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
                                WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%')";
    let waits = || sqlx::query_scalar::<_, bool>(waits).bind(table).fetch_one(&service.pool);
    while !waits().await.expect("an answer") {
        tokio::task::yield_now().await;
    }
}

/// How many transactions have written the entries of commands.
async fn transactions(service: &Service) -> i64 {
    let count = "SELECT count(DISTINCT xmin::text) FROM ledger_entry WHERE type <> 'SIGNUP'";
    sqlx::query_scalar(count).fetch_one(&service.pool).await.expect("the transactions")
}

fn outcomes(answers: &[Answer]) -> Vec<(u16, &str)> {
    let outcome = |answer: &'_ Answer| answer.status.is_success().then_some((answer.status.as_u16(), ""));
    answers.iter().map(|answer| outcome(answer).unwrap_or_else(|| answer.problem())).collect()
}

#[tokio::test]
async fn each_command_of_a_group_has_an_answer_of_its_own() {
    let service = service().await;
    let [a, b, c] = MEMBERS;
    let answers = send_together(
        &service,
        vec![
            transaction(a, "EARN", 100, "R-1"),
            transaction(a, "EARN", 7, "R-1"),
            transaction(a, "USE", 1_050, "R-1"),
            change(b, &[], -5_000),
            change(b, &[], 5),
            change(c, &[("if-match", "\"of another time\"")], 1),
            change(c, &[("idempotency-key", "k")], 3),
            change(c, &[("idempotency-key", "k")], 3),
            change(960, &[], 1),
        ],
    )
    .await;

    assert_eq!(
        outcomes(&answers),
        [
            (201, ""),
            (409, "reference-taken"),
            (201, ""),
            (422, "insufficient-points"),
            (200, ""),
            (412, "precondition-failed"),
            (200, ""),
            (409, "request-in-progress"),
            (404, "account-not-found"),
        ]
    );
    let balance = async |member_id| service.get(&format!("/points/{member_id}")).await.number("remainPoint");
    assert_eq!((balance(a).await, balance(b).await, balance(c).await), (51, 1_005, 1_003));
    // The use has burnt the lots of joining, of the first command, and half of the one that was made with it.
    let used: Vec<i64> = answers[2].body["lots"]
        .as_array()
        .expect("lots")
        .iter()
        .map(|lot| lot["points"].as_i64().expect("points"))
        .collect();
    assert_eq!(used, [-1_000, -1, -49]);
    let earned = &answers[0].body;
    assert_eq!(answers[2].body["lots"][2]["lotId"], earned["lots"][0]["lotId"]);
    let told = service.get(&format!("/points/{a}/transactions/{}", answers[2].number("transactionId"))).await;
    assert_eq!(told.body["lots"], answers[2].body["lots"]);
    let again = service.send(change(c, &[("idempotency-key", "k")], 3)).await;
    assert_eq!((again.header("idempotency-hit"), &again.body), (Some("true"), &answers[6].body));
    assert_eq!(transactions(&service).await, 2, "the first command's, and that of all others");
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn cancelling_and_trying_out_see_what_the_group_before_them_has_written() {
    let service = service().await;
    let [a, ..] = MEMBERS;
    let used = service.transact(a, &json!({ "type": "USE", "amount": 100, "reference": "R-1" })).await;
    let path = format!("/points/{a}/transactions/{used}/cancellation");
    let cancel = || command("POST", &path, &[], &json!({ "reason": "returned" }));
    let try_out = format!("/points/{a}/transactions?dryRun=true");
    let try_out =
        command("POST", &try_out, &[], &json!({ "type": "USE", "amount": 1_000, "reference": "R-2" }));

    let answers = send_together(&service, vec![change(a, &[], 2), cancel(), cancel(), try_out]).await;

    let mut cancelled = outcomes(&answers[1..3]);
    cancelled.sort_unstable();
    assert_eq!(cancelled, [(201, ""), (409, "already-cancelled")]);
    assert_eq!((answers[0].status.as_u16(), answers[3].status.as_u16()), (200, 200));
    assert!(answers[3].body["lots"].as_array().expect("lots").iter().all(|lot| lot["lotId"].is_number()));
    assert_eq!(service.get(&format!("/points/{a}")).await.number("remainPoint"), 1_003);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn an_account_that_somebody_has_locked_holds_up_nobody_else() {
    let service = service().await;
    let [a, b, c] = MEMBERS;
    let mut other = service.owner().await;
    let lock = format!("BEGIN; SELECT FROM account WHERE member_id = {a} FOR UPDATE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut other).await.expect("the lock");
    let waiting = {
        let service = Arc::clone(&service);
        tokio::spawn(async move { service.send(change(a, &[], 1)).await })
    };
    waits_for_a_lock(&service, "account").await;

    let others = join_all([change(b, &[], 1), change(c, &[], 1)].map(|command| service.send(command))).await;

    assert_eq!(outcomes(&others), [(200, ""), (200, "")]);
    assert!(!waiting.is_finished());
    sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("the commit");
    assert_eq!(waiting.await.expect("no panic").number("remainPoint"), 1_001);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn what_postgres_refuses_to_one_command_is_done_for_the_others() {
    let service = service().await;
    let [a, b, c] = MEMBERS;
    service.as_owner("ALTER TABLE ledger_entry ADD CONSTRAINT unlucky CHECK (amount <> 13)").await;
    // The books of one member do not fit.
    service.as_owner("UPDATE account SET balance = balance + 1 WHERE member_id = 720").await;

    let commands = vec![change(a, &[], 13), change(b, &[], 2), change(c, &[], 2), change(a, &[], 3)];
    let answers = send_together(&service, commands).await;

    let internal = (500, "internal-error");
    assert_eq!(outcomes(&answers), [internal, (200, ""), internal, (200, "")]);
    let balance = async |member_id| service.get(&format!("/points/{member_id}")).await.number("remainPoint");
    assert_eq!((balance(a).await, balance(b).await), (1_004, 1_002));
}

#[tokio::test]
async fn what_fails_at_the_commit_is_not_done_again() {
    let service = service().await;
    let [a, b, _] = MEMBERS;
    // What a sequence counts is not rolled back.
    let mut owner = service.owner().await;
    let fails = "CREATE SEQUENCE tried;
                 GRANT USAGE ON SEQUENCE tried TO point_app;
                 CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
                     'BEGIN PERFORM nextval(''tried''); RAISE EXCEPTION ''the commit fails''; END';
                 CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON ledger_entry DEFERRABLE INITIALLY DEFERRED
                     FOR EACH ROW WHEN (NEW.amount = 13) EXECUTE FUNCTION fail()";
    sqlx::raw_sql(fails).execute(&mut owner).await.expect("the trigger");

    let answers = send_together(&service, vec![change(b, &[], 2), change(a, &[], 13)]).await;

    assert_eq!(outcomes(&answers), [(500, "internal-error"), (500, "internal-error")]);
    let tried: i64 =
        sqlx::query_scalar("SELECT last_value FROM tried").fetch_one(&mut owner).await.expect("a count");
    assert_eq!(tried, 1);
    assert_eq!(service.get(&format!("/points/{b}")).await.number("remainPoint"), 1_000);
    service.assert_books_are_right().await;
}

/// Forfeits while a first one is kept from being published.
async fn forfeit_together(service: &Service, memberships: &[Membership]) -> Vec<Answer> {
    let first = Membership::of(MEMBERS[0]);
    service.deliver(first.is(Normal, 9)).await;
    let requests = iter::once(first).chain(memberships.iter().copied());
    let requests = requests.map(|membership| service.forfeit(membership));
    ask_together(service.owner_url(), requests).await.split_off(1)
}

#[tokio::test]
async fn each_forfeiture_of_a_group_has_an_answer_of_its_own() {
    let service = Service::start().await;
    let [heard, other, empty, unheard, unheard_too] = [2, 4, 6, 8, 10].map(Membership::of);
    for membership in [heard, other, empty] {
        service.deliver(membership.is(Normal, 1)).await;
    }
    service.change(empty.member_id, -1_000).await;

    let asked = [heard, unheard, other, heard, empty, unheard_too, unheard];
    let answers = forfeit_together(&service, &asked).await;

    let forfeited = answers.iter().map(|answer| answer.body["forfeitedPoint"].as_i64());
    assert_eq!(forfeited.collect::<Vec<_>>(), [1_000, 0, 1_000, 1_000, 0, 0, 0].map(Some));
    for membership in asked {
        let published = service.published(membership.member_id).await;
        let forfeitures = published.iter().filter(|event| event.event_type == "PointsForfeited");
        assert_eq!(forfeitures.count(), 1, "{published:?}");
        let versions: Vec<i64> = published.iter().map(|event| event.sequence).collect();
        assert_eq!(versions, (1..).take(versions.len()).collect::<Vec<_>>(), "{published:?}");
    }
    let transactions = "SELECT count(DISTINCT xmin::text) FROM account WHERE member_id IN (2, 4, 6)";
    let transactions: i64 = sqlx::query_scalar(transactions).fetch_one(&service.pool).await.expect("a count");
    assert_eq!(transactions, 1);
    assert_eq!(service.get("/points/2").await.problem(), (404, "account-not-found"));
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn a_refused_forfeiture_leaves_nothing_behind_and_the_others_of_its_group_are_carried_out() {
    let service = Service::start().await;
    let [one, other] = [2, 4].map(Membership::of);
    for membership in [one, other] {
        service.deliver(membership.is(Normal, 1)).await;
    }
    let of_another = Membership { member_id: 12, ..other };

    let answers = forfeit_together(&service, &[one, of_another, other]).await;

    assert_eq!(outcomes(&answers), [(200, ""), (409, "membership-of-other-member"), (200, "")]);
    let holders = "SELECT count(*) FROM holder WHERE member_id = 12";
    let holders: i64 = sqlx::query_scalar(holders).fetch_one(&service.pool).await.expect("a count");
    assert_eq!(holders, 0);
    service.assert_books_are_right().await;
}

#[tokio::test]
async fn a_holder_that_somebody_has_locked_holds_up_no_other_forfeiture() {
    let service = Arc::new(Service::start().await);
    let [held, free, free_too] = [2, 4, 6].map(Membership::of);
    for membership in [held, free, free_too] {
        service.deliver(membership.is(Normal, 1)).await;
    }
    let mut other = service.owner().await;
    let lock = "BEGIN; SELECT FROM holder WHERE member_id = 2 FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut other).await.expect("the lock");
    let waiting = {
        let service = Arc::clone(&service);
        tokio::spawn(async move { service.forfeit(held).await })
    };
    waits_for_a_lock(&service, "holder").await;

    let answers = join_all([free, free_too].map(|membership| service.forfeit(membership)));
    let answers = timeout(SOON, answers).await.expect("they do not wait");

    assert_eq!(outcomes(&answers), [(200, ""), (200, "")]);
    assert!(!waiting.is_finished());
    sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("the commit");
    assert_eq!(waiting.await.expect("no panic").number("forfeitedPoint"), 1_000);
    service.assert_books_are_right().await;
}
