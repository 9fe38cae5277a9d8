//! Postgres: the connection pool, and what an error of it means.

mod migrate;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgPool};

pub(crate) use migrate::prepare;
pub use migrate::{MigrationError, Migrations, check, migrate};

use crate::{Service, Settings};

/// A statement of the serving role that takes longer is cancelled: shorter than a request may take, so that the
/// client is answered and the lock is let go.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(8);

/// A transaction that its owner forgot is rolled back, with its locks.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection that has been idle for longer is tested before it is used: after a restart of Postgres it is dead.
/// A busier one is not, which saves a round trip; a request that meets a dead one is answered with 503.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
const MAX_LIFETIME: Duration = Duration::from_secs(1_800);

/// How many connections are opened at start and kept, so that no request pays for connecting.
const WARM_CONNECTIONS: u32 = 4;

/// Statements are planned once a connection, not once a call, which costs more than to run them. As such a plan may be
/// older than the rows of a new table, it must not be a scan of all of it wherever there is an index. Where there is
/// none, compiling that scan is not worth it.
const PLANNED_ONCE: [(&str, &str); 3] =
    [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("jit", "off")];

/// How to connect as a service: its schema as `search_path`, its name as `application_name`, timeouts that let
/// no statement or forgotten transaction hold locks for ever, and plans that are kept.
///
/// # Errors
/// When the URL is not one of Postgres.
pub fn connect_options(database_url: &str, schema: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(database_url)?.application_name(schema).options([
        ("search_path", schema.to_owned()),
        ("statement_timeout", STATEMENT_TIMEOUT.as_millis().to_string()),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT.as_millis().to_string()),
    ]);
    Ok(options.options(PLANNED_ONCE))
}

/// The pool of a service. It connects lazily, so it can be made while Postgres is down; within a tokio runtime.
///
/// # Errors
/// When the URL is not one of Postgres.
pub fn pool(settings: &Settings, service: &Service) -> Result<PgPool, sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(settings.db_max_connections)
        .min_connections(warm_connections(settings))
        .acquire_timeout(Duration::from_millis(settings.db_acquire_timeout_ms))
        .idle_timeout(IDLE_TIMEOUT)
        .max_lifetime(MAX_LIFETIME)
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| {
            Box::pin(async move {
                if metadata.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(connect_options(settings.database_url.expose(), service.name)?);
    Ok(pool)
}

/// Opens the first connections, so that the first requests do not pay for it.
pub(crate) async fn warm_up(pool: &PgPool, settings: &Settings) {
    let connections =
        futures::future::join_all((0..warm_connections(settings)).map(|_| pool.acquire())).await;
    if let Some(error) = connections.into_iter().find_map(Result::err) {
        tracing::warn!(error = crate::error::chain(&error), "cannot open the first connections to Postgres");
    }
}

fn warm_connections(settings: &Settings) -> u32 {
    WARM_CONNECTIONS.min(settings.db_max_connections)
}

/// Whether trying again later may help: Postgres is unreachable, starting, stopping, overloaded or out of resources,
/// or the transaction lost against another (SQLSTATE classes 08, 40, 53, 57, and 55P03).
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_transient_code(&code)),
        _ => false,
    }
}

fn is_transient_code(code: &str) -> bool {
    code == "55P03" || ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::is_transient_code;

    #[test]
    fn outages_and_lost_races_are_transient() {
        for code in ["08006", "40001", "40P01", "53300", "57P01", "57P03", "57014", "55P03"] {
            assert!(is_transient_code(code), "{code}");
        }
        for code in ["23505", "42P01", "28P01", "3D000", "55000"] {
            assert!(!is_transient_code(code), "{code}");
        }
    }
}
