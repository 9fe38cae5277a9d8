//! A message service of a test's own.

use axum::Router;
use chassis::http::test_router;
use chassis::testing::{Answer, TestDatabase, ask, bare, until};
use chrono::{DateTime, Utc};
use message::http::{State, public};
use message::policy::Policies;
use shared_events::delivery::{AfterCommit, EventHandler, Outcome, Wake};
use shared_events::{Event, MembershipId};
use sqlx::PgPool;
use uuid::Uuid;

use super::events::{envelope, joined};

/// The service, and its database as the role that serves.
pub struct Service {
    pub database: TestDatabase,
    pub pool: PgPool,
    /// Woken when something is to be sent again.
    pub worker: Wake,
    router: Router,
}

/// A notification as it is stored.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Stored {
    pub message_id: i64,
    pub member_id: i64,
    pub membership_id: Uuid,
    pub kind: String,
    pub phone_no: Option<String>,
    pub status: String,
    pub reason: Option<String>,
    pub attempts: i32,
    pub claim: Option<Uuid>,
    pub due_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub may_be_accepted: bool,
    pub admitted_at: Option<DateTime<Utc>>,
    pub gateway_message_id: Option<String>,
    pub resent_by: Option<String>,
    pub occasion: String,
}

impl Service {
    pub async fn start() -> Self {
        let database = TestDatabase::migrated(&message::SERVICE, &message::app::migrators()).await;
        let pool = database.pool(20);
        let worker = Wake::new();
        let state = State { pool: pool.clone(), worker: worker.clone(), clock: Utc::now };
        Self { router: test_router(public(state)), database, pool, worker }
    }

    pub async fn ask(&self, line: &str) -> Answer {
        ask(&self.router, bare(line)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}")).await
    }

    /// Lets the policies handle an event, as the consumer does.
    pub async fn handle(&self, member_id: i64, event: Event) -> Outcome {
        let mut tx = self.pool.begin().await.unwrap();
        let policies = Policies { clock: Utc::now };
        let mut after = AfterCommit::default();
        let outcome = policies.handle_in_tx(&mut tx, &envelope(member_id), event, &mut after).await;
        tx.commit().await.unwrap();
        after.run();
        outcome.unwrap()
    }

    /// Queues the welcome message of a new member.
    pub async fn queue(&self, member_id: i64) -> MembershipId {
        let membership_id = MembershipId(Uuid::now_v7());
        let outcome = self.handle(member_id, joined(member_id, membership_id)).await;
        assert_eq!(outcome, Outcome::Applied);
        membership_id
    }

    /// Queues many at once, for members 1 to `count`; the first has been due for longest.
    pub async fn queue_many(&self, count: i32) {
        sqlx::query(
            "INSERT INTO message (member_id, membership_id, kind, phone_no, status, due_at, queued_at)
             SELECT id, gen_random_uuid(), 'WELCOME', '010' || lpad(id::text, 8, '0'), 'QUEUED', now() - ($1 - id) * interval '1 ms', now()
             FROM generate_series(1, $1) AS id",
        )
        .bind(count)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// All notifications, by id.
    pub async fn stored(&self) -> Vec<Stored> {
        sqlx::query_as("SELECT * FROM message ORDER BY message_id").fetch_all(&self.pool).await.unwrap()
    }

    /// The only notification.
    pub async fn the_message(&self) -> Stored {
        let stored = self.stored().await;
        assert_eq!(stored.len(), 1, "{stored:?}");
        stored[0].clone()
    }

    /// How many have a status.
    pub async fn count(&self, status: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM message WHERE status = $1")
            .bind(status)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Waits until the only notification has a status.
    pub async fn until_status(&self, status: &str) {
        until(status, async || self.count(status).await == 1).await;
    }

    /// Lets the time pass until everything queued is due, leases included.
    pub async fn make_due(&self) {
        sqlx::query("UPDATE message SET due_at = now() - interval '1 second' WHERE status = 'QUEUED'")
            .execute(&self.pool)
            .await
            .unwrap();
    }
}
