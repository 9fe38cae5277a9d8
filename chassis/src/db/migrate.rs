//! Migrations: run at start, by one replica at a time.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use sqlx::migrate::{Migrate, MigrateError, Migration, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::is_transient;
use crate::error::chain;
use crate::{Service, Settings};

/// How long to wait before asking again for the lock that another replica holds while it migrates.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A migration that cannot get a lock gives up and is tried again, instead of blocking everybody behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// A set of migrations with its own bookkeeping table in the schema of the service.
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// Name of the bookkeeping table, e.g. `_sqlx_migrations_outbox`.
    pub table: &'static str,
    /// The migrations, embedded by `sqlx::migrate!`.
    pub migrator: &'static Migrator,
}

/// Why the database does not have the schema that the service needs.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// Postgres cannot be used at the moment. Trying again may help.
    #[error("Postgres cannot be used at the moment")]
    Unavailable(#[source] sqlx::Error),
    /// Postgres refused, or a migration failed or was changed after it had been applied.
    #[error("cannot migrate with {table}")]
    Failed {
        /// The bookkeeping table of the set.
        table: &'static str,
        /// What happened.
        source: MigrateError,
    },
    /// Postgres refused something before the first migration.
    #[error("cannot prepare the schema {schema}")]
    Refused {
        /// The schema of the service.
        schema: String,
        /// What happened.
        source: sqlx::Error,
    },
    /// `--no-migrate` was given, and a migration has not been applied.
    #[error(
        "the database is behind: migration {version} of {table} has not been applied, and --no-migrate forbids it"
    )]
    Behind {
        /// The bookkeeping table of the set.
        table: &'static str,
        /// The first missing version.
        version: i64,
    },
}

/// Applies what is missing of the sets, in their order, while holding an advisory lock of the schema.
/// Waits while another replica holds it. Creates the schema when there is none.
///
/// # Errors
/// [`MigrationError::Unavailable`] when trying again may help.
pub async fn migrate(database_url: &str, schema: &str, sets: &[Migrations]) -> Result<(), MigrationError> {
    let refused = |error| refusal(schema, error);
    let mut connection = connect(database_url, schema).await.map_err(refused)?;
    lock(&mut connection, schema).await.map_err(refused)?;
    create_schema(&mut connection, schema).await.map_err(refused)?;
    for set in sets {
        set.bookkept().run_direct(None, &mut connection, false).await.map_err(|error| set.failure(error))?;
    }
    // Closing the session releases the lock.
    connection.close().await.map_err(refused)
}

/// Checks that every migration of the sets has been applied. Later ones may have been: an older version of a service
/// runs on the database of the next.
///
/// # Errors
/// [`MigrationError::Behind`] when one is missing; [`MigrationError::Unavailable`] when trying again may help.
pub async fn check(database_url: &str, schema: &str, sets: &[Migrations]) -> Result<(), MigrationError> {
    let refused = |error| refusal(schema, error);
    let mut connection = connect(database_url, schema).await.map_err(refused)?;
    for set in sets {
        set.check(&mut connection).await?;
    }
    connection.close().await.map_err(refused)
}

/// Migrates or checks, as the settings say, and tries again for as long as Postgres cannot be used.
pub(crate) async fn prepare(
    settings: &Settings,
    service: &Service,
    sets: &[Migrations],
) -> Result<(), MigrationError> {
    let url = settings.migration_database_url().expose();
    let mut delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(3))
        .without_max_times()
        .with_jitter()
        .build();
    loop {
        let outcome = if settings.no_migrate {
            check(url, service.name, sets).await
        } else {
            migrate(url, service.name, sets).await
        };
        match outcome {
            Err(MigrationError::Unavailable(error)) => {
                tracing::warn!(error = chain(&error), "waiting for Postgres");
                tokio::time::sleep(delays.next().unwrap_or(LOCK_TIMEOUT)).await;
            }
            outcome => return outcome,
        }
    }
}

impl Migrations {
    /// The migrator with its own table. It does not lock: [`migrate`] holds a lock already, which it polls for. It
    /// accepts later migrations: an older version of a service restarts on the database of the next.
    fn bookkept(&self) -> Migrator {
        let mut migrator = Migrator::with_migrations(self.migrator.iter().cloned().collect());
        migrator.dangerous_set_table_name(self.table);
        migrator.set_locking(false).set_ignore_missing(true);
        migrator
    }

    async fn check(&self, connection: &mut PgConnection) -> Result<(), MigrationError> {
        let applied = self.applied(connection).await?;
        for migration in self.migrator.iter().filter(|migration| is_up(migration)) {
            let version = migration.version;
            match applied.get(&version) {
                None => {
                    return Err(MigrationError::Behind { table: self.table, version });
                }
                Some(checksum) if migration.checksum != *checksum => {
                    return Err(self.failure(MigrateError::VersionMismatch(version)));
                }
                Some(_) => (),
            }
        }
        Ok(())
    }

    async fn applied(&self, connection: &mut PgConnection) -> Result<HashMap<i64, Vec<u8>>, MigrationError> {
        let is_new: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NULL")
            .bind(self.table)
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| self.failure(MigrateError::Execute(error)))?;
        if is_new {
            return Ok(HashMap::new());
        }
        let applied =
            connection.list_applied_migrations(self.table).await.map_err(|error| self.failure(error))?;
        Ok(applied
            .into_iter()
            .map(|migration| (migration.version, migration.checksum.into_owned()))
            .collect())
    }

    fn failure(&self, error: MigrateError) -> MigrationError {
        match error {
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)
                if is_transient(&source) =>
            {
                MigrationError::Unavailable(source)
            }
            source => MigrationError::Failed { table: self.table, source },
        }
    }
}

fn is_up(migration: &Migration) -> bool {
    !migration.migration_type.is_down_migration()
}

fn refusal(schema: &str, source: sqlx::Error) -> MigrationError {
    if is_transient(&source) {
        MigrationError::Unavailable(source)
    } else {
        MigrationError::Refused { schema: schema.to_owned(), source }
    }
}

async fn connect(database_url: &str, schema: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnectOptions::from_str(database_url)?
        .application_name(schema)
        .options([
            ("search_path", schema.to_owned()),
            ("lock_timeout", LOCK_TIMEOUT.as_millis().to_string()),
            ("client_min_messages", "warning".to_owned()),
        ])
        .connect()
        .await
}

/// Polls: a session that waits in `pg_advisory_lock` holds a snapshot, and so blocks `CREATE INDEX CONCURRENTLY`.
async fn lock(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    loop {
        let locked: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended('migrations of ' || $1, 0))")
                .bind(schema)
                .fetch_one(&mut *connection)
                .await?;
        if locked {
            return Ok(());
        }
        tokio::time::sleep(LOCK_POLL_INTERVAL).await;
    }
}

/// Asks first: `IF NOT EXISTS` wants the right to create schemas even when there is nothing to create.
async fn create_schema(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    let is_new: bool = sqlx::query_scalar("SELECT to_regnamespace($1) IS NULL")
        .bind(schema)
        .fetch_one(&mut *connection)
        .await?;
    if is_new {
        let create: String = sqlx::query_scalar("SELECT format('CREATE SCHEMA IF NOT EXISTS %I', $1)")
            .bind(schema)
            .fetch_one(&mut *connection)
            .await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(connection).await?;
    }
    Ok(())
}
