//! A member service of a test's own.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use chassis::group_read::GroupRead;
use chassis::http::test_router;
use chassis::testing::{Answer, DEADLINE, TestDatabase, ask, bare, with_body};
use chrono::Utc;
use clap::{Args, Command, FromArgMatches};
use member::http::{State, public};
use member::point_client::{PointClient, ProtectionSettings};
use member::policy::Policies;
use member::store::members;
use member::usecase::join::Registrar;
use member::usecase::withdraw::Withdrawals;
use reqwest::Url;
use serde_json::{Value, json};
use shared_events::delivery::{AfterCommit, EventHandler, Outcome, Wake};
use shared_events::{Event, MembershipId};
use sqlx::{PgConnection, PgPool};
use tokio_util::task::TaskTracker;

use super::StubPoint;
use super::events::envelope;

/// The service, and its database as the role that serves.
pub struct Service {
    pub database: TestDatabase,
    pub pool: PgPool,
    pub relay: Wake,
    /// The routes, without the layers of the chassis.
    pub routes: Router,
    router: Router,
}

impl Service {
    /// For tests in which nobody withdraws.
    pub async fn start() -> Self {
        Self::start_with(StubPoint::refused().url()).await
    }

    /// With the point service at an address.
    pub async fn start_with(point: Url) -> Self {
        Self::start_with_timeout(point, DEADLINE).await
    }

    /// With a limit on the call to the point service.
    pub async fn start_with_timeout(point: Url, timeout: Duration) -> Self {
        Self::start_protected(point, &one_attempt(timeout)).await
    }

    /// With a call to the point service that is protected in this way.
    pub async fn start_protected(point: Url, protection: &ProtectionSettings) -> Self {
        let database = migrated().await;
        let pool = database.pool(10);
        Self::of(database, pool, point, protection, DEADLINE)
    }

    /// With a limit on how long a client waits for a withdrawal.
    pub async fn start_with_patience(point: Url, patience: Duration) -> Self {
        let database = migrated().await;
        let pool = database.pool(10);
        Self::of(database, pool, point, &one_attempt(DEADLINE), patience)
    }

    /// On a database and with a pool of the test's own.
    pub fn on(database: TestDatabase, pool: PgPool, point: Url, timeout: Duration) -> Self {
        Self::of(database, pool, point, &one_attempt(timeout), DEADLINE)
    }

    fn of(
        database: TestDatabase,
        pool: PgPool,
        point: Url,
        protection: &ProtectionSettings,
        patience: Duration,
    ) -> Self {
        let relay = Wake::new();
        let members = GroupRead::new(pool.clone(), members::find_all);
        let point = PointClient::new(point, protection).unwrap();
        let state = State {
            pool: pool.clone(),
            members: members.clone(),
            registrar: Registrar::new(pool.clone(), relay.clone()),
            withdrawals: Withdrawals::new(pool.clone(), members, point, relay.clone()),
            sagas: TaskTracker::new(),
            withdrawal_patience: patience,
            clock: Utc::now,
        };
        let routes = public(state);
        Self { database, pool, relay, router: test_router(routes.clone()), routes }
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        ask(&self.router, request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(bare(&format!("GET {path}"))).await
    }

    pub async fn delete(&self, member_id: i64) -> Answer {
        self.ask(bare(&format!("DELETE /members/{member_id}"))).await
    }

    pub async fn post(&self, body: &Value) -> Answer {
        self.ask(with_body("POST /members", "application/json", body.to_string())).await
    }

    /// Makes somebody a member, with a phone number made of the id.
    pub async fn join(&self, member_id: i64) -> MembershipId {
        self.join_as(member_id, &applicant(member_id)).await
    }

    /// Joins with a phone number that others may have, too.
    pub async fn join_with_phone(&self, member_id: i64, phone_no: &str) -> MembershipId {
        let mut applicant = applicant(member_id);
        applicant["phoneNo"] = phone_no.into();
        self.join_as(member_id, &applicant).await
    }

    async fn join_as(&self, member_id: i64, applicant: &Value) -> MembershipId {
        let answer = self.post(applicant).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.membership(member_id).await.unwrap()
    }

    /// The current membership of an id.
    pub async fn membership(&self, member_id: i64) -> Option<MembershipId> {
        sqlx::query_scalar("SELECT membership_id FROM member WHERE member_id = $1")
            .bind(member_id)
            .fetch_optional(&self.pool)
            .await
            .unwrap()
            .map(MembershipId)
    }

    /// Where a member stands, as clients see it.
    pub async fn status(&self, member_id: i64) -> String {
        let member = self.get(&format!("/members/{member_id}")).await.body;
        member["memberStatus"].as_str().unwrap().to_owned()
    }

    /// Lets the policies handle an event, as the consumer does.
    pub async fn handle(&self, member_id: i64, event: Event) -> Outcome {
        let mut tx = self.pool.begin().await.unwrap();
        let mut after = AfterCommit::default();
        let handled = Policies.handle_in_tx(&mut tx, &envelope(member_id), event, &mut after).await;
        tx.commit().await.unwrap();
        after.run();
        handled.unwrap()
    }

    /// How many members and unpublished events there are.
    pub async fn counts(&self) -> (i64, i64) {
        sqlx::query_as("SELECT (SELECT count(*) FROM member), (SELECT count(*) FROM outbox)")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// All columns of all rows that a withdrawal leaves, as text.
    pub async fn tombstones(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT tombstone::text FROM tombstone ORDER BY member_id")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }
}

/// Lets the policies handle an event in a transaction of the test's own.
pub async fn handle_in_tx(tx: &mut PgConnection, member_id: i64, event: Event) -> Outcome {
    Policies.handle_in_tx(tx, &envelope(member_id), event, &mut AfterCommit::default()).await.unwrap()
}

/// The protection as these arguments have it, the last of equal ones, and the defaults for the others.
pub fn protection(arguments: &[&str]) -> ProtectionSettings {
    let command = ProtectionSettings::augment_args(
        Command::new("member").no_binary_name(true).args_override_self(true),
    );
    let matches = command.try_get_matches_from(arguments).unwrap();
    ProtectionSettings::from_arg_matches(&matches).unwrap()
}

/// A single attempt within this time, and no circuit that opens.
fn one_attempt(timeout: Duration) -> ProtectionSettings {
    let timeout = timeout.as_millis();
    protection(&[
        &format!("--forfeit-timeout-ms={timeout}"),
        &format!("--forfeit-attempt-timeout-ms={timeout}"),
        "--forfeit-attempts=1",
        "--forfeit-circuit-minimum-calls=1000",
    ])
}

/// A new database of the service.
pub async fn migrated() -> TestDatabase {
    TestDatabase::migrated(&member::SERVICE, &member::app::migrators()).await
}

/// Somebody with a phone number and nickname made of the id.
pub fn applicant(member_id: i64) -> Value {
    json!({
        "phoneNo": format!("010{member_id:08}"),
        "nickname": format!("SEQ{member_id}"),
        "memberStatus": "READY",
        "memberId": member_id,
    })
}
