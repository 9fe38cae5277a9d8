//! Holding up whoever writes.

use std::pin::pin;

use futures::future::join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::timeout;

use super::{Answer, DEADLINE, until};

/// The advisory lock that whoever is held up shares, which everybody can see.
const HELD_UP: i64 = 7_473_265;

/// Holds up whoever is about to insert into a table, until it is opened. It holds no lock, so nobody's wait for one runs out.
#[derive(Debug)]
pub struct Gate(PgConnection);

impl Gate {
    /// Closes it before a table, as the owner of the schema. A schema has one.
    ///
    /// # Panics
    /// When a statement fails.
    pub async fn before(table: &str, owner_url: &str) -> Self {
        let mut owner = PgConnection::connect(owner_url).await.unwrap();
        let close = format!(
            "CREATE TABLE gate AS SELECT true AS is_closed;
             GRANT SELECT ON gate TO PUBLIC;
             CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 PERFORM pg_advisory_xact_lock_shared({HELD_UP});
                 WHILE EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.002); END LOOP;
                 RETURN NULL;
             END $$;
             CREATE TRIGGER held_up BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION hold_up()"
        );
        sqlx::raw_sql(AssertSqlSafe(close)).execute(&mut owner).await.unwrap();
        Self(owner)
    }

    /// Waits until somebody is held up.
    ///
    /// # Panics
    /// When nobody comes, or a statement fails.
    pub async fn holds_somebody_up(&mut self) {
        let is_held_up = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
                                         WHERE datname = current_database() AND locktype = 'advisory' AND objid = $1::oid)";
        let owner = tokio::sync::Mutex::new(&mut self.0);
        until("somebody is held up", async || {
            sqlx::query_scalar(is_held_up).bind(HELD_UP).fetch_one(&mut **owner.lock().await).await.unwrap()
        })
        .await;
    }

    /// Lets everybody through.
    ///
    /// # Panics
    /// When the statement fails.
    pub async fn open(mut self) {
        sqlx::raw_sql("DELETE FROM gate").execute(&mut self.0).await.unwrap();
    }
}

/// Sends requests of which the first publishes and is held up, lets it go on once all others have gone as far as they can
/// without waiting for anything, and returns the answers. So those wait together for their turn.
///
/// # Panics
/// When one panics or is not answered.
pub async fn ask_together<R>(owner_url: &str, requests: impl IntoIterator<Item = R>) -> Vec<Answer>
where
    R: Future<Output = Answer>,
{
    let mut gate = Gate::before("outbox", owner_url).await;
    let mut requests = requests.into_iter();
    let mut first = pin!(requests.next().unwrap());
    tokio::select! {
        _ = &mut first => panic!("the first request is not held up"),
        () = gate.holds_somebody_up() => {}
    }
    let others = join_all(requests);
    let all = async { tokio::join!(first, others, gate.open()) };
    let (first, others, ()) = timeout(DEADLINE, all).await.unwrap();
    let mut answers = vec![first];
    answers.extend(others);
    answers
}
