//! Breakpoints inside Postgres: a service stops at a chosen write, or at the commit of it, until the test goes on.

use std::collections::BTreeSet;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, raw_sql};

use crate::wait::eventually;

/// Triggers on every table of the services. A write is named by its service, operation and table, and by the type or
/// the status of its row: `member INSERT outbox MemberJoined`.
const SET_UP: &str = "
CREATE SCHEMA breakpoint;
CREATE TABLE breakpoint.armed (write text NOT NULL, timing text NOT NULL);
CREATE TABLE breakpoint.seen (write text NOT NULL);

CREATE FUNCTION breakpoint.pass() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    changed jsonb := to_jsonb(coalesce(NEW, OLD));
    this text := concat_ws(' ', TG_TABLE_SCHEMA, TG_OP, TG_TABLE_NAME,
                           coalesce(changed ->> 'type', changed ->> 'status'));
BEGIN
    INSERT INTO breakpoint.seen VALUES (this);
    IF EXISTS (SELECT FROM breakpoint.armed WHERE write = this AND timing = TG_WHEN) THEN
        PERFORM pg_advisory_xact_lock_shared(0, 0);
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;

DO $$
DECLARE
    service_table regclass;
BEGIN
    FOR service_table IN SELECT oid FROM pg_class
        WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('member', 'message', 'point', 'mypage')
    LOOP
        EXECUTE format('CREATE TRIGGER breakpoint_before BEFORE INSERT OR UPDATE OR DELETE ON %s
                        FOR EACH ROW EXECUTE FUNCTION breakpoint.pass()', service_table);
        EXECUTE format('CREATE CONSTRAINT TRIGGER breakpoint_at_commit AFTER INSERT OR UPDATE OR DELETE ON %s
                        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION breakpoint.pass()', service_table);
    END LOOP;
END $$";

/// The sessions that wait at a breakpoint.
const WAITING: &str = "
SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database
WHERE locktype = 'advisory' AND (classid, objid, objsubid) = (0, 0, 2) AND NOT granted AND datname = current_database()";

/// A moment of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before it is done.
    Write,
    /// While its transaction commits.
    Commit,
}

/// What becomes of the transactions that wait at a breakpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They go on. At a commit they are committed, whether or not their process is alive to hear of it.
    GoOn,
    /// They are rolled back, as when Postgres notices that their process is gone.
    RollBack,
}

/// The breakpoints of one database.
#[derive(Clone, Debug)]
pub struct Breakpoints {
    pool: PgPool,
}

impl Breakpoints {
    pub(crate) async fn set_up(pool: &PgPool) -> Self {
        raw_sql(SET_UP).execute(pool).await.expect("the triggers are made");
        Self { pool: pool.clone() }
    }

    /// All writes that were committed since they were set up.
    pub async fn seen(&self) -> BTreeSet<String> {
        let seen = sqlx::query_scalar("SELECT DISTINCT write FROM breakpoint.seen").fetch_all(&self.pool);
        seen.await.expect("the writes").into_iter().collect()
    }

    /// Lets whoever comes to this moment of this write wait there. One breakpoint can be armed at a time.
    pub async fn arm(&self, write: &str, moment: Moment) -> Armed {
        let mut lock = self.pool.acquire().await.expect("a connection");
        raw_sql("SELECT pg_advisory_lock(0, 0)").execute(&mut *lock).await.expect("the lock");
        let timing = if moment == Moment::Write { "BEFORE" } else { "AFTER" };
        let arm = sqlx::query("INSERT INTO breakpoint.armed VALUES ($1, $2)").bind(write).bind(timing);
        arm.execute(&mut *lock).await.expect("the breakpoint is armed");
        Armed { pool: self.pool.clone(), lock }
    }
}

/// A breakpoint, with the lock that keeps those who come to it.
#[derive(Debug)]
pub struct Armed {
    pool: PgPool,
    lock: PoolConnection<Postgres>,
}

impl Armed {
    /// Waits until somebody is there.
    pub async fn reached(&self) {
        eventually("somebody comes to the breakpoint", || async {
            if waiting(&self.pool).await.is_empty() { Err("nobody there") } else { Ok(()) }
        })
        .await;
    }

    /// Disarms it, and returns when those who waited there have left it.
    pub async fn disarm(mut self, outcome: Outcome) {
        raw_sql("DELETE FROM breakpoint.armed").execute(&mut *self.lock).await.expect("it is disarmed");
        if outcome == Outcome::RollBack {
            for pid in waiting(&self.pool).await {
                let end = sqlx::query("SELECT pg_terminate_backend($1, 10000)").bind(pid);
                end.execute(&mut *self.lock).await.expect("the session ends");
            }
        }
        raw_sql("SELECT pg_advisory_unlock(0, 0)")
            .execute(&mut *self.lock)
            .await
            .expect("the lock is released");
    }
}

async fn waiting(pool: &PgPool) -> Vec<i32> {
    sqlx::query_scalar(WAITING).fetch_all(pool).await.expect("the locks")
}
