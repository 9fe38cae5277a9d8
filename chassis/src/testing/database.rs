//! One Postgres server for the whole process, and a database of its own for each test.

use std::sync::atomic::{AtomicU32, Ordering};

use local_stack::database::{Database, Role};
use local_stack::postgres::{Postgres, PostgresOptions};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::sync::OnceCell;

use super::DEADLINE;
use crate::Service;
use crate::db::{self, Migrations};

/// A database in which one service is tested. It ends with the process.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    database: Database,
    schema: &'static str,
}

impl TestDatabase {
    /// A new one, with roles and schemas but nothing in them.
    ///
    /// # Panics
    /// When Postgres fails.
    pub async fn empty(service: &Service) -> Self {
        static SERVER: OnceCell<Postgres> = OnceCell::const_new();
        static NUMBER: AtomicU32 = AtomicU32::new(0);

        let server =
            SERVER.get_or_init(async || Postgres::start(PostgresOptions::default()).await.unwrap()).await;
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { database: server.create_database(&name).await.unwrap(), schema: service.name }
    }

    /// A new one, migrated by the schema's owner.
    ///
    /// # Panics
    /// When Postgres or a migration fails.
    pub async fn migrated(service: &Service, migrations: &[Migrations]) -> Self {
        let database = Self::empty(service).await;
        db::migrate(&database.owner_url(), database.schema, migrations).await.unwrap();
        database
    }

    /// The URL for the owner of the schema.
    pub fn owner_url(&self) -> String {
        self.database.url(self.schema, Role::Owner)
    }

    /// Connections as the role that serves, `most` of them at a time.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn pool(&self, most: u32) -> PgPool {
        let options = db::connect_options(&self.database.url(self.schema, Role::App), self.schema).unwrap();
        PgPoolOptions::new().max_connections(most).acquire_timeout(DEADLINE).connect_lazy_with(options)
    }

    /// Runs statements as the owner of the schema.
    ///
    /// # Panics
    /// When one of them fails.
    pub async fn as_owner(&self, statements: impl Into<String>) {
        let mut owner = PgConnection::connect(&self.owner_url()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statements.into())).execute(&mut owner).await.unwrap();
    }
}
