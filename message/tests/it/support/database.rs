//! One Postgres server for the whole process, and a database of its own for each test.

use std::sync::atomic::{AtomicU32, Ordering};

use local_stack::database::{Database, Role};
use local_stack::postgres::{Postgres, PostgresOptions};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::sync::OnceCell;

use super::DEADLINE;

const SCHEMA: &str = message::SERVICE.name;

/// A new database, migrated by the schema's owner.
pub async fn migrated() -> Database {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);

    let server =
        SERVER.get_or_init(async || Postgres::start(PostgresOptions::default()).await.unwrap()).await;
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let database = server.create_database(&name).await.unwrap();
    let owner = database.url(SCHEMA, Role::Owner);
    chassis::db::migrate(&owner, SCHEMA, &message::app::migrators()).await.unwrap();
    database
}

/// Connections as the role that serves.
pub fn pool(database: &Database, most: u32) -> PgPool {
    let options = chassis::db::connect_options(&database.url(SCHEMA, Role::App), SCHEMA).unwrap();
    PgPoolOptions::new().max_connections(most).acquire_timeout(DEADLINE).connect_lazy_with(options)
}

/// Runs statements as the owner of the schema.
pub async fn as_owner(database: &Database, statements: impl Into<String>) {
    let mut owner = PgConnection::connect(&database.url(SCHEMA, Role::Owner)).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.into())).execute(&mut owner).await.unwrap();
}
