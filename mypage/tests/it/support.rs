//! A mypage service of its own for every test, on one Postgres for the whole test process.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use chrono::{DateTime, Utc};
use http_body_util::BodyExt;
use local_stack::database::Role;
use local_stack::postgres::{Postgres, PostgresOptions};
use mypage::http::{self, State};
use mypage::policy::Policies;
use serde_json::Value;
use shared_events::delivery::{EventHandler, Outcome};
use shared_events::event::{
    MemberJoined, MemberState, MemberStatus, MemberStatusChanged, MemberWithdrawn, PointsEarned,
    PointsForfeited, PointsUsed,
};
use shared_events::{Envelope, Event, MemberId, MembershipId, Provenance};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};
use tokio::sync::OnceCell;
use tower::ServiceExt;
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(60);

/// The server; it ends with the process.
pub async fn postgres() -> &'static Postgres {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    let start = || async { Postgres::start(PostgresOptions::default()).await.expect("Postgres starts") };
    POSTGRES.get_or_init(start).await
}

/// A database name that no other test of this process has.
pub fn database_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("mypage_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The service's router on a database of its own, connected as `mypage_app`.
pub struct Service {
    pub pool: PgPool,
    public: Router,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Asserts that this is a complete problem, and returns its status and code.
    pub fn problem(&self) -> (u16, &str) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let code = self.body["code"].as_str().expect("a code");
        assert_eq!(self.body["type"], format!("urn:problem-type:mileage:{code}"));
        assert_eq!(self.body["status"], self.status.as_u16());
        for member in ["title", "detail", "instance"] {
            assert!(self.body[member].is_string(), "{member} in {}", self.body);
        }
        (self.status.as_u16(), code)
    }
}

/// An event as the consumer hands it over.
pub type Record = (Envelope, Event);

impl Service {
    pub async fn start() -> Self {
        let database = postgres().await.create_migrated_database(&database_name()).await;
        let url = database.expect("a migrated database").url("mypage", Role::App);
        let options = chassis::db::connect_options(&url, "mypage").expect("a URL of Postgres");
        let pool =
            PgPoolOptions::new().max_connections(4).acquire_timeout(DEADLINE).connect_lazy_with(options);
        let public = chassis::http::test_router(http::public(State { pool: pool.clone() }));
        Self { pool, public }
    }

    /// Hands an event to the policies and commits.
    pub async fn deliver(&self, record: Record) -> Outcome {
        let mut tx = self.pool.begin().await.expect("a transaction");
        let outcome = deliver_in_tx(&mut tx, &record).await;
        tx.commit().await.expect("the commit");
        outcome
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path).await
    }

    /// Asks without a body. `path` may also be a whole URL, as links are.
    pub async fn send(&self, method: &str, path: &str) -> Answer {
        let path = path.strip_prefix("http://mypage.test").unwrap_or(path);
        let request = Request::builder().method(method).uri(path).header(header::HOST, "mypage.test");
        let request = request.body(Body::empty()).expect("a request");
        let call = async {
            let response = self.public.clone().oneshot(request).await.expect("a router never fails");
            let (parts, body) = response.into_parts();
            (parts, body.collect().await.expect("the whole body").to_bytes())
        };
        let (parts, bytes) = tokio::time::timeout(DEADLINE, call).await.expect("an answer in time");
        let body = serde_json::from_slice(&bytes).expect("a JSON body");
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// The row of a member as it is stored.
    pub async fn row(&self, member_id: i64) -> Option<Value> {
        let mut connection = self.pool.acquire().await.expect("a connection");
        row(&mut connection, member_id).await
    }
}

/// Hands an event to the policies.
pub async fn deliver_in_tx(tx: &mut PgConnection, (envelope, event): &Record) -> Outcome {
    Policies.handle_in_tx(tx, envelope, event.clone()).await.expect("the event is handled")
}

/// The row of a member as it is stored.
pub async fn row(connection: &mut PgConnection, member_id: i64) -> Option<Value> {
    sqlx::query_scalar("SELECT to_jsonb(page) FROM page WHERE member_id = $1")
        .bind(member_id)
        .fetch_optional(connection)
        .await
        .expect("a row")
}

/// A membership and what happens to it.
#[derive(Clone, Copy, Debug)]
pub struct Membership {
    pub member_id: i64,
    pub id: MembershipId,
}

impl Membership {
    pub fn of(member_id: i64) -> Self {
        Self { member_id, id: MembershipId(Uuid::now_v7()) }
    }

    /// The phone number that the events tell of.
    pub fn phone_no(self) -> String {
        format!("010{:08}", self.id.0.as_u128() % 100_000_000)
    }

    /// The nickname that the events tell of.
    pub fn nickname(self) -> String {
        format!("nick-{}", self.id)
    }

    pub fn joined(self, version: i64) -> Record {
        let state = self.state(MemberStatus::Ready);
        self.record("/member", "MemberJoined", version, Event::MemberJoined(MemberJoined(state)))
    }

    pub fn became(self, member_status: MemberStatus, version: i64) -> Record {
        let event = Event::MemberStatusChanged(MemberStatusChanged(self.state(member_status)));
        self.record("/member", "MemberStatusChanged", version, event)
    }

    pub fn withdrawn(self, version: i64) -> Record {
        let event =
            MemberWithdrawn { member_id: self.member_id(), membership_id: self.id, withdrawn_at: now() };
        self.record("/member", "MemberWithdrawn", version, Event::MemberWithdrawn(event))
    }

    pub fn earned(self, remain_point: i64, version: i64) -> Record {
        let event = PointsEarned {
            member_id: self.member_id(),
            membership_id: self.id,
            amount: 1,
            remain_point,
            entry_type: "EARN".to_owned(),
            occurred_at: now(),
        };
        self.record("/point", "PointsEarned", version, Event::PointsEarned(event))
    }

    pub fn used(self, remain_point: i64, version: i64) -> Record {
        let event = PointsUsed {
            member_id: self.member_id(),
            membership_id: self.id,
            amount: 1,
            remain_point,
            occurred_at: now(),
        };
        self.record("/point", "PointsUsed", version, Event::PointsUsed(event))
    }

    pub fn forfeited(self, amount: i64, version: i64) -> Record {
        let event = PointsForfeited {
            member_id: self.member_id(),
            membership_id: self.id,
            amount,
            remain_point: 0,
            occurred_at: now(),
        };
        self.record("/point", "PointsForfeited", version, Event::PointsForfeited(event))
    }

    fn member_id(self) -> MemberId {
        MemberId::try_from(self.member_id).expect("a memberId")
    }

    fn state(self, member_status: MemberStatus) -> MemberState {
        MemberState {
            member_id: self.member_id(),
            membership_id: self.id,
            phone_no: self.phone_no(),
            nickname: self.nickname(),
            member_status,
            joined_at: now(),
        }
    }

    fn record(self, source: &str, event_type: &str, version: i64, event: Event) -> Record {
        let envelope = Envelope {
            id: Uuid::now_v7(),
            event_type: event_type.to_owned(),
            source: source.to_owned(),
            member_id: self.member_id(),
            sequence: version,
            time: now(),
            provenance: Provenance { actor: "operator".to_owned(), traceparent: None },
        };
        (envelope, event)
    }
}

fn now() -> DateTime<Utc> {
    "2026-03-04T05:06:07Z".parse().expect("a time")
}
