//! A mypage service of its own for every test, on one Postgres for the whole test process.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, Request, header};
use chassis::testing::{Answer, TestDatabase, ask};
use chrono::{DateTime, Utc};
use mypage::http::{self, State};
use mypage::policy::Policies;
use serde_json::Value;
use shared_events::delivery::{AfterCommit, EventHandler, Outcome};
use shared_events::event::{
    MemberJoined, MemberState, MemberStatus, MemberStatusChanged, MemberWithdrawn, NextExpiration,
    PointsEarned, PointsForfeited, PointsRestored, PointsUsed,
};
use shared_events::{Envelope, Event, MemberId, MembershipId, Provenance};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// The service's router on a database of its own, connected as `mypage_app`.
pub struct Service {
    pub pool: PgPool,
    public: Router,
}

/// An event as the consumer hands it over.
pub type Record = (Envelope, Event);

impl Service {
    pub async fn start() -> Self {
        let database = TestDatabase::migrated(&mypage::SERVICE, &mypage::app::migrators()).await;
        let pool = database.pool(4);
        let public = chassis::http::test_router(http::public(State::new(pool.clone())));
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

    /// `GET` with `If-Match` or `If-None-Match`.
    pub async fn get_if(&self, path: &str, condition: HeaderName, etag: &str) -> Answer {
        let request = Request::get(path).header(header::HOST, "mypage.test");
        let request = request.header(condition, etag);
        ask(&self.public, request.body(Body::empty()).expect("a request")).await
    }

    /// Asks without a body. `path` may also be a whole URL, as links are.
    pub async fn send(&self, method: &str, path: &str) -> Answer {
        let path = path.strip_prefix("http://mypage.test").unwrap_or(path);
        let request = Request::builder().method(method).uri(path).header(header::HOST, "mypage.test");
        ask(&self.public, request.body(Body::empty()).expect("a request")).await
    }

    /// The row of a member as it is stored.
    pub async fn row(&self, member_id: i64) -> Option<Value> {
        let mut connection = self.pool.acquire().await.expect("a connection");
        row(&mut connection, member_id).await
    }
}

/// Hands an event to the policies.
pub async fn deliver_in_tx(tx: &mut PgConnection, (envelope, event): &Record) -> Outcome {
    let handled = Policies.handle_in_tx(tx, envelope, event.clone(), &mut AfterCommit::default()).await;
    handled.expect("the event is handled")
}

/// Hands events to the policies at once.
pub async fn deliver_all_in_tx(
    tx: &mut PgConnection,
    records: impl IntoIterator<Item = &Record>,
) -> Vec<Outcome> {
    let events = records.into_iter().map(|(envelope, event)| (envelope, event.clone())).collect();
    Policies.handle_all_in_tx(tx, events, &mut AfterCommit::default()).await.expect("the events are handled")
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
            transaction_id: None,
            reference: None,
            lots: None,
            next_expiration: None,
        };
        self.record("/point", "PointsEarned", version, Event::PointsEarned(event))
    }

    /// An earning as point tells of it in full: of 1 point, with the receipt `R-<id>`.
    pub fn earned_in(self, transaction_id: i64, version: i64) -> Record {
        let event = PointsEarned {
            member_id: self.member_id(),
            membership_id: self.id,
            amount: 1,
            remain_point: version,
            entry_type: "EARN".to_owned(),
            occurred_at: now(),
            transaction_id: Some(transaction_id),
            reference: Some(format!("R-{transaction_id}")),
            lots: None,
            next_expiration: Some(NextExpiration { points: version, expires_at: now() }),
        };
        self.record("/point", "PointsEarned", version, Event::PointsEarned(event))
    }

    /// The cancellation, as point tells of it in full, of a use of 1 point with this receipt.
    pub fn restored_in(self, transaction_id: i64, reference: &str, version: i64) -> Record {
        let event = PointsRestored {
            member_id: self.member_id(),
            membership_id: self.id,
            amount: 1,
            remain_point: version,
            occurred_at: now(),
            transaction_id,
            refers_to: Some(transaction_id - 1),
            reference: Some(reference.to_owned()),
            lots: Vec::new(),
            next_expiration: None,
        };
        self.record("/point", "PointsRestored", version, Event::PointsRestored(event))
    }

    pub fn used(self, remain_point: i64, version: i64) -> Record {
        let event = PointsUsed {
            member_id: self.member_id(),
            membership_id: self.id,
            amount: 1,
            remain_point,
            occurred_at: now(),
            transaction_id: None,
            reference: None,
            lots: None,
            next_expiration: None,
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
            transaction_id: None,
            lots: None,
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

pub fn now() -> DateTime<Utc> {
    "2026-03-04T05:06:07Z".parse().expect("a time")
}
