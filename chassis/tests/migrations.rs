//! Migrations and the connection pool, on a real Postgres.

// Clippy does not see that helpers are tests, too.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::sync::LazyLock;

use chassis::db::{self, MigrationError, Migrations};
use chassis::{Service, Settings};
use clap::{Args, Command, FromArgMatches};
use local_stack::postgres::{Postgres, PostgresOptions};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqlSafeStr};
use tokio::sync::OnceCell;

static FIRST: LazyLock<Migrator> = LazyLock::new(|| migrator(&["CREATE TABLE a (id bigint PRIMARY KEY)"]));
static SECOND: LazyLock<Migrator> = LazyLock::new(|| {
    migrator(&["CREATE TABLE a (id bigint PRIMARY KEY)", "CREATE TABLE b (id bigint PRIMARY KEY)"])
});
static CHANGED: LazyLock<Migrator> = LazyLock::new(|| migrator(&["CREATE TABLE a (id integer PRIMARY KEY)"]));
static OUTBOX: LazyLock<Migrator> =
    LazyLock::new(|| migrator(&["CREATE TABLE outbox (id bigint PRIMARY KEY)"]));

fn migrator(statements: &[&'static str]) -> Migrator {
    let migrations = statements.iter().zip(1..).map(|(sql, version)| {
        Migration::new(version, "test".into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

fn own(migrator: &'static Migrator) -> Migrations {
    Migrations { table: "_sqlx_migrations", migrator }
}

/// One server for all tests of this file; each test has a schema of its own.
async fn admin_url() -> String {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    let start = || async { Postgres::start(PostgresOptions::default()).await.unwrap() };
    POSTGRES.get_or_init(start).await.admin_url()
}

async fn tables(schema: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(&admin_url().await).await.unwrap();
    sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY 1")
        .bind(schema)
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn sets_of_migrations_have_their_own_books_in_the_schema_of_the_service() {
    let url = admin_url().await;
    let outbox = Migrations { table: "_sqlx_migrations_outbox", migrator: &OUTBOX };

    db::migrate(&url, "books", &[outbox, own(&FIRST)]).await.unwrap();
    db::migrate(&url, "books", &[outbox, own(&SECOND)]).await.unwrap();

    let expected = ["_sqlx_migrations", "_sqlx_migrations_outbox", "a", "b", "outbox"];
    assert_eq!(tables("books").await, expected);
}

#[tokio::test]
async fn replicas_that_start_together_migrate_one_after_the_other() {
    let url = admin_url().await;

    let sets = [own(&SECOND)];
    let replicas = (0..8).map(|_| db::migrate(&url, "together", &sets));
    let outcomes = futures::future::join_all(replicas).await;

    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

#[tokio::test]
async fn an_older_version_starts_on_the_database_of_a_newer_one() {
    let url = admin_url().await;
    db::migrate(&url, "ahead", &[own(&SECOND)]).await.unwrap();

    db::migrate(&url, "ahead", &[own(&FIRST)]).await.unwrap();
    db::check(&url, "ahead", &[own(&FIRST)]).await.unwrap();
}

#[tokio::test]
async fn a_check_refuses_a_database_that_is_behind() {
    let url = admin_url().await;
    let behind = |version| move |error: &MigrationError| matches!(error, MigrationError::Behind { version: v, .. } if *v == version);

    let nothing = db::check(&url, "behind", &[own(&SECOND)]).await;
    assert!(nothing.as_ref().is_err_and(behind(1)), "{nothing:?}");

    db::migrate(&url, "behind", &[own(&FIRST)]).await.unwrap();
    let one = db::check(&url, "behind", &[own(&SECOND)]).await;
    assert!(one.as_ref().is_err_and(behind(2)), "{one:?}");
}

#[tokio::test]
async fn a_migration_that_was_changed_afterwards_is_refused() {
    let url = admin_url().await;
    db::migrate(&url, "changed", &[own(&FIRST)]).await.unwrap();

    let migrated = db::migrate(&url, "changed", &[own(&CHANGED)]).await;
    let checked = db::check(&url, "changed", &[own(&CHANGED)]).await;

    assert!(matches!(migrated, Err(MigrationError::Failed { .. })), "{migrated:?}");
    assert!(matches!(checked, Err(MigrationError::Failed { .. })), "{checked:?}");
}

#[tokio::test]
async fn an_outage_is_worth_another_attempt_and_a_refusal_is_not() {
    let unreachable = db::migrate("postgres://u@127.0.0.1:1/db", "x", &[]).await;
    assert!(matches!(unreachable, Err(MigrationError::Unavailable(_))), "{unreachable:?}");

    let no_such_database = admin_url().await.replace("/postgres", "/nowhere");
    let refused = db::migrate(&no_such_database, "x", &[]).await;
    assert!(matches!(refused, Err(MigrationError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn the_pool_survives_the_death_of_its_idle_connections() {
    let service = Service { name: "reborn", about: "", public_port: 0, internal_port: 0 };
    let pool = db::pool(&settings(&admin_url().await), &service).unwrap();
    let schema: String = sqlx::query_scalar("SHOW search_path").fetch_one(&pool).await.unwrap();
    assert_eq!(schema, "reborn");

    let mut admin = PgConnection::connect(&admin_url().await).await.unwrap();
    let terminate =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'reborn'";
    sqlx::query(AssertSqlSafe(terminate)).execute(&mut admin).await.unwrap();

    // At most one request meets the dead connection; an idle one is tested first.
    let outcomes = [
        sqlx::query("SELECT 1").execute(&pool).await.map(drop),
        sqlx::query("SELECT 1").execute(&pool).await.map(drop),
    ];
    assert!(outcomes[0].as_ref().err().is_none_or(db::is_transient), "{outcomes:?}");
    assert!(outcomes[1].is_ok(), "{outcomes:?}");
}

fn settings(url: &str) -> Settings {
    let required = ["test", "--listen=127.0.0.1:1", "--internal-listen=127.0.0.1:2", "--database-url", url];
    let matches = Settings::augment_args(Command::new("test")).get_matches_from(required);
    Settings::from_arg_matches(&matches).unwrap()
}
