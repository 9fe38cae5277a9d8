//! A point service of its own for every test, on one Postgres for the whole test process.

mod membership;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use chassis::group_read::GroupRead;
use chassis::testing::{Answer, TestDatabase, ask};
use chrono::{DateTime, Utc};
use point::domain::{SpentPolicy, Validity};
use point::fault::Delay;
use point::http::{self, State};
use point::policy::Policies;
use point::store::lots;
use point::usecase::forfeit_points::Forfeiter;
use point::usecase::transact::{Terms, Transactor};
use serde_json::{Value, json};
use shared_events::delivery::{AfterCommit, EventHandler, Outcome, Wake};
use shared_events::event::MemberStatus;
use shared_events::{Envelope, Event};
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

pub use membership::Membership;

/// Who the events' commands came from.
pub const EVENT_ACTOR: &str = "service:message";

/// What the clock of the service says.
pub fn now() -> DateTime<Utc> {
    "2026-03-04T05:06:07Z".parse().expect("a time")
}

/// The terms of the programme, unless a test says otherwise.
pub const TERMS: Terms =
    Terms { validity: Validity { months: 60, grace_days: 30 }, spent: SpentPolicy::Refuse };

/// The service's two routers on a database of their own, connected as `point_app`.
pub struct Service {
    pub pool: PgPool,
    owner_url: String,
    public: Router,
    internal: Router,
}

/// A row of the outbox.
#[derive(Debug, PartialEq)]
pub struct Published {
    pub event_type: String,
    pub sequence: i64,
    pub membership_id: Uuid,
    pub payload: Value,
}

impl Service {
    pub async fn start() -> Self {
        Self::start_with_delay(None).await
    }

    /// With forfeitures that are slowed down.
    pub async fn start_with_delay(forfeit_delay: Option<Delay>) -> Self {
        let database = TestDatabase::migrated(&point::SERVICE, &point::app::migrators()).await;
        Self::of(database.pool(16), database.owner_url(), now, TERMS, forfeit_delay)
    }

    /// On a database that was migrated before.
    pub fn on_database(database: &TestDatabase) -> Self {
        Self::of(database.pool(16), database.owner_url(), now, TERMS, None)
    }

    /// Ages what is remembered of commands by a day.
    pub async fn a_day_goes_by_for_keys(&self) {
        self.as_owner("UPDATE idempotency_key SET created_at = created_at - interval '24 hours'").await;
    }

    /// Runs a statement that the serving role may not.
    pub async fn as_owner(&self, statement: &'static str) {
        sqlx::query(statement).execute(&mut self.owner().await).await.expect("the statement succeeds");
    }

    /// Where the role that owns the tables connects.
    pub fn owner_url(&self) -> &str {
        &self.owner_url
    }

    /// A connection as the role that owns the tables.
    pub async fn owner(&self) -> PgConnection {
        PgConnection::connect(&self.owner_url).await.expect("a connection")
    }

    fn of(
        pool: PgPool,
        owner_url: String,
        clock: fn() -> DateTime<Utc>,
        terms: Terms,
        forfeit_delay: Option<Delay>,
    ) -> Self {
        let relay = Wake::new();
        let transactor = Transactor::new(pool.clone(), relay.clone(), terms);
        let state = State {
            pool: pool.clone(),
            accounts: GroupRead::new(pool.clone(), lots::find_accounts),
            clock,
            transactor,
            forfeiter: Forfeiter::new(pool.clone(), relay),
            forfeit_delay,
        };
        let public = chassis::http::test_router(http::public(state.clone()));
        let internal = chassis::http::test_router(http::internal(state));
        Self { pool, owner_url, public, internal }
    }

    /// The same accounts at another time.
    pub fn at(&self, clock: fn() -> DateTime<Utc>) -> Self {
        self.at_on(clock, TERMS)
    }

    /// The same accounts at another time, on other terms.
    pub fn at_on(&self, clock: fn() -> DateTime<Utc>, terms: Terms) -> Self {
        Self::of(self.pool.clone(), self.owner_url.clone(), clock, terms, None)
    }

    /// The same accounts on other terms.
    pub fn on(&self, terms: Terms) -> Self {
        self.at_on(now, terms)
    }

    /// A service with the account of a NORMAL member, who has the 1,000 points for joining.
    pub async fn with_normal_member(membership: Membership) -> Self {
        let service = Self::start().await;
        service.deliver(membership.is(MemberStatus::Ready, 1)).await;
        service.deliver(membership.is(MemberStatus::Normal, 2)).await;
        service
    }

    /// Hands an event to the policies, as the consumer does.
    pub async fn deliver(&self, (envelope, event): (Envelope, Event)) -> Outcome {
        let mut tx = self.pool.begin().await.expect("a transaction");
        let policies = Policies { validity: TERMS.validity };
        let mut after = AfterCommit::default();
        let handled = policies.handle_in_tx(&mut tx, &envelope, event, &mut after).await;
        let outcome = handled.expect("the event is handled");
        tx.commit().await.expect("the commit");
        after.run();
        outcome
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, None).body(Body::empty()).expect("a request")).await
    }

    /// `PATCH /points/{memberId}` with `{"requirePoint": …}`.
    pub async fn change(&self, member_id: i64, require_point: i64) -> Answer {
        self.patch(member_id, json!({ "requirePoint": require_point }).to_string()).await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, body.to_string()).await
    }

    pub async fn post_text(&self, path: &str, body: impl Into<Body>) -> Answer {
        let request = request("POST", path, Some("application/json"));
        self.send(request.body(body.into()).expect("a request")).await
    }

    /// `POST /points/{memberId}/transactions`, that must succeed; returns the id.
    pub async fn transact(&self, member_id: i64, body: &Value) -> i64 {
        let answer = self.post(&format!("/points/{member_id}/transactions"), body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.number("transactionId")
    }

    /// `POST …/cancellation` of a transaction.
    pub async fn cancel(&self, member_id: i64, transaction_id: i64, amount: Option<i64>) -> Answer {
        let path = format!("/points/{member_id}/transactions/{transaction_id}/cancellation");
        let body = match amount {
            Some(amount) => json!({ "amount": amount, "reason": "returned" }),
            None => json!({ "reason": "returned" }),
        };
        self.post(&path, &body).await
    }

    /// The lots of a member that have points left: points and expiry, in the order in which they are burnt.
    pub async fn lots(&self, member_id: i64) -> Vec<(i64, DateTime<Utc>)> {
        sqlx::query_as(
            "SELECT remaining, expires_at FROM lot JOIN account USING (membership_id)
             WHERE member_id = $1 AND remaining > 0 ORDER BY expires_at, lot_id",
        )
        .bind(member_id)
        .fetch_all(&self.pool)
        .await
        .expect("the lots")
    }

    pub async fn patch(&self, member_id: i64, body: impl Into<Body>) -> Answer {
        self.send(patch(member_id, body)).await
    }

    /// `PUT /forfeitures/{memberId}` on the internal router.
    pub async fn forfeit(&self, membership: Membership) -> Answer {
        let body = json!({ "membershipId": membership.id }).to_string();
        self.put_forfeiture(membership.member_id, body).await
    }

    pub async fn put_forfeiture(&self, member_id: i64, body: impl Into<Body>) -> Answer {
        let request = request("PUT", &format!("/forfeitures/{member_id}"), Some("application/json"));
        self.send_internal(request.body(body.into()).expect("a request")).await
    }

    pub async fn send_internal(&self, request: Request<Body>) -> Answer {
        ask(&self.internal, request).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        ask(&self.public, request).await
    }

    /// Everything that the service has stored.
    pub async fn snapshot(&self) -> Value {
        sqlx::query_scalar(
            "SELECT jsonb_build_object(
                'holder', (SELECT jsonb_agg(to_jsonb(holder) ORDER BY member_id) FROM holder),
                'account', (SELECT jsonb_agg(to_jsonb(account) ORDER BY membership_id) FROM account),
                'lot', (SELECT jsonb_agg(to_jsonb(lot) ORDER BY lot_id) FROM lot),
                'movement', (SELECT jsonb_agg(to_jsonb(lot_movement) ORDER BY entry_id, lot_id) FROM lot_movement),
                'ledger', (SELECT jsonb_agg(to_jsonb(ledger_entry) ORDER BY entry_id) FROM ledger_entry),
                'outbox', (SELECT jsonb_agg(to_jsonb(outbox) ORDER BY id) FROM outbox))",
        )
        .fetch_one(&self.pool)
        .await
        .expect("a snapshot")
    }

    /// The entries of a membership: type, signed amount, balance after it.
    pub async fn ledger(&self, membership: Membership) -> Vec<(String, i64, i64)> {
        sqlx::query_as(
            "SELECT type, amount, balance_after FROM ledger_entry WHERE membership_id = $1 ORDER BY entry_id",
        )
        .bind(membership.id.0)
        .fetch_all(&self.pool)
        .await
        .expect("the ledger")
    }

    /// What was published of a member, in order.
    pub async fn published(&self, member_id: i64) -> Vec<Published> {
        let rows: Vec<(String, i64, Uuid, String)> = sqlx::query_as(
            "SELECT type, sequence, membership_id, payload FROM outbox WHERE key = $1 ORDER BY id",
        )
        .bind(member_id.to_string())
        .fetch_all(&self.pool)
        .await
        .expect("the outbox");
        rows.into_iter()
            .map(|(event_type, sequence, membership_id, payload)| {
                let payload = serde_json::from_str(&payload).expect("a payload is JSON");
                Published { event_type, sequence, membership_id, payload }
            })
            .collect()
    }

    /// Asserts what holds at all times: each balance is the sum of its ledger, each entry says the balance after
    /// it, the versions of a member are 1, 2, 3… in the order of publication, and of its accounts one is open at most.
    pub async fn assert_books_are_right(&self) {
        let broken: Value = sqlx::query_scalar(
            "SELECT jsonb_build_object(
                'balance is not the sum', (
                    SELECT jsonb_agg(to_jsonb(account)) FROM account
                    WHERE balance <> (SELECT coalesce(sum(amount), 0) FROM ledger_entry
                                      WHERE ledger_entry.membership_id = account.membership_id)),
                'entry says another balance', (
                    SELECT jsonb_agg(entry_id) FROM (
                        SELECT entry_id, balance_after,
                               sum(amount) OVER (PARTITION BY membership_id ORDER BY entry_id) AS sum
                        FROM ledger_entry) AS entry
                    WHERE balance_after <> sum),
                'lots are not the balance', (
                    SELECT jsonb_agg(to_jsonb(account)) FROM account
                    WHERE balance <> (SELECT coalesce(sum(remaining), 0) FROM lot
                                      WHERE lot.membership_id = account.membership_id)),
                'movements are not the lot', (
                    SELECT jsonb_agg(to_jsonb(lot)) FROM lot
                    WHERE remaining <> (SELECT coalesce(sum(lot_movement.amount), 0) FROM lot_movement
                                        WHERE lot_movement.lot_id = lot.lot_id)),
                'movements are not the entry', (
                    SELECT jsonb_agg(to_jsonb(ledger_entry)) FROM ledger_entry
                    WHERE amount <> (SELECT coalesce(sum(lot_movement.amount), 0) FROM lot_movement
                                     WHERE lot_movement.entry_id = ledger_entry.entry_id)),
                'version is not the next', (
                    SELECT jsonb_agg(jsonb_build_array(key, sequence)) FROM (
                        SELECT key, sequence, row_number() OVER (PARTITION BY key ORDER BY id) AS number
                        FROM outbox) AS event
                    WHERE sequence <> number),
                'next account would not go on from the last', (
                    SELECT jsonb_agg(to_jsonb(holder)) FROM holder
                    WHERE last_version <> (SELECT coalesce(max(version), 0) FROM account
                                           WHERE account.member_id = holder.member_id AND closed_at IS NOT NULL)),
                'several are open', (
                    SELECT jsonb_agg(member_id) FROM (
                        SELECT member_id FROM account WHERE closed_at IS NULL
                        GROUP BY member_id HAVING count(*) > 1) AS member))",
        )
        .fetch_one(&self.pool)
        .await
        .expect("an answer");
        let is_right = broken.as_object().expect("an object").values().all(Value::is_null);
        assert!(is_right, "{broken:#}");
    }
}

/// A request to which the body is missing.
pub fn request(method: &str, path: &str, content_type: Option<&str>) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "point.test");
    match content_type {
        Some(content_type) => request.header(header::CONTENT_TYPE, content_type),
        None => request,
    }
}

pub fn patch(member_id: i64, body: impl Into<Body>) -> Request<Body> {
    let request = request("PATCH", &format!("/points/{member_id}"), Some("application/json"));
    request.body(body.into()).expect("a request")
}

/// The ledger in a shape that is easy to compare.
pub fn entries(ledger: &[(String, i64, i64)]) -> Vec<(&str, i64, i64)> {
    ledger.iter().map(|(entry_type, amount, after)| (entry_type.as_str(), *amount, *after)).collect()
}
