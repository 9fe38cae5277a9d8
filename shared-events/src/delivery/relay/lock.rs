//! The right to relay: an advisory lock that lives and dies with its own connection.

use std::future::Future;
use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::delivery::DeliveryError;
use crate::delivery::outbox::{self, Waiting};

const RETRY: Duration = Duration::from_millis(500);
/// A Postgres that does not answer for so long has lost us, or we it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the connection is looked at while the broker is waited for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Lets Postgres notice within seconds that this host has vanished without a word, so that another replica gets the
/// lock; the operating system's own keepalive would take hours.
const NOTICE_VANISHED_HOSTS: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("idle_session_timeout", "45000"),
];

/// The lock, held. Whatever is done with the outbox goes through its connection, so that nothing is done without it.
pub(super) struct RelayLock {
    connection: PgConnection,
}

impl RelayLock {
    /// Waits until this replica holds the lock; `None` when cancelled before that.
    pub(super) async fn acquire(
        pool: &PgPool,
        service: &str,
        token: &CancellationToken,
    ) -> Result<Option<Self>, DeliveryError> {
        token.run_until_cancelled(Self::wait_for(pool, service)).await.transpose()
    }

    /// Polls, so that no session waits inside Postgres.
    async fn wait_for(pool: &PgPool, service: &str) -> Result<Self, DeliveryError> {
        let options = pool.connect_options().as_ref().clone().options(NOTICE_VANISHED_HOSTS);
        let mut connection = in_time(PgConnection::connect_with(&options)).await?;
        let name = format!("outbox-relay:{service}");
        loop {
            let attempt = sqlx::query_scalar!(
                r#"SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS "acquired!""#,
                name
            );
            if in_time(attempt.fetch_one(&mut connection)).await? {
                return Ok(Self { connection });
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Removes rows that the broker has, and returns the oldest of those that are not in flight either.
    pub(super) async fn advance(
        &mut self,
        confirmed: &[i64],
        in_flight: &[i64],
        limit: usize,
        source: &str,
    ) -> Result<Vec<Waiting>, DeliveryError> {
        in_time(outbox::advance(&mut self.connection, confirmed, in_flight, limit, source)).await
    }

    /// Removes rows that the broker has.
    pub(super) async fn delete(&mut self, ids: &[i64]) -> Result<(), DeliveryError> {
        in_time(outbox::delete(&mut self.connection, ids)).await
    }

    /// Returns when the lock is lost.
    pub(super) async fn lost(&mut self) -> DeliveryError {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = in_time(self.connection.ping()).await {
                return error;
            }
        }
    }

    /// Gives the lock to the next replica at once.
    pub(super) async fn release(self) {
        // The session ends with the process at the latest, and the lock with it.
        let _ = in_time(self.connection.close()).await;
    }
}

async fn in_time<T>(answer: impl Future<Output = sqlx::Result<T>>) -> Result<T, DeliveryError> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(DeliveryError::DatabaseSilent),
    }
}
