//! A real Postgres: start, restart, kill, and what each role may do.
#![allow(clippy::unwrap_used, reason = "clippy takes the helpers of integration tests for production code")]

use local_stack::{
    database::{Database, Role},
    postgres::{Postgres, PostgresOptions},
};
use sqlx::{Connection, PgConnection};

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn start() -> Postgres {
    Postgres::start(PostgresOptions::default()).await.unwrap()
}

#[tokio::test]
async fn committed_data_survives_a_kill() {
    let postgres = start().await;
    let database = postgres.create_database("survives").await.unwrap();
    let mut owner = connect(&database.url("point", Role::Owner)).await;
    sqlx::raw_sql("CREATE TABLE kept AS SELECT 42 AS answer").execute(&mut owner).await.unwrap();

    postgres.kill().await;
    assert!(PgConnection::connect(&database.admin_url()).await.is_err());
    postgres.restart().await.unwrap();

    let mut admin = connect(&database.admin_url()).await;
    let answer: i32 =
        sqlx::query_scalar("SELECT answer FROM point.kept").fetch_one(&mut admin).await.unwrap();
    assert_eq!(answer, 42);
}

#[tokio::test]
async fn a_role_sees_only_its_own_schema() {
    let postgres = start().await;
    let database = postgres.create_database("roles").await.unwrap();
    let mut owner = connect(&database.url("member", Role::Owner)).await;
    sqlx::raw_sql("CREATE TABLE member.secret (id int)").execute(&mut owner).await.unwrap();

    for (service, role) in [("point", Role::Owner), ("point", Role::App), ("member", Role::App)] {
        let mut other = connect(&database.url(service, role)).await;
        assert!(sqlx::raw_sql("SELECT * FROM member.secret").execute(&mut other).await.is_err());
        assert!(sqlx::raw_sql("CREATE TABLE member.other (id int)").execute(&mut other).await.is_err());
        assert!(sqlx::raw_sql("CREATE TABLE public.other (id int)").execute(&mut other).await.is_err());
        assert!(sqlx::raw_sql("CREATE TEMP TABLE other (id int)").execute(&mut other).await.is_err());
    }
}

#[tokio::test]
async fn databases_are_created_in_parallel_and_repeatedly() {
    let postgres = start().await;
    let url = postgres.admin_url();
    let all = (0..8).map(|n| {
        let url = url.clone();
        tokio::spawn(async move { Database::create(&url, &format!("parallel_{}", n % 4)).await })
    });
    let mut databases = Vec::new();
    for created in all.collect::<Vec<_>>() {
        databases.push(created.await.unwrap().unwrap());
    }
    connect(&databases[0].url("mypage", Role::App)).await;
    let name = databases[0].name().to_owned();
    databases.swap_remove(0).drop().await.unwrap();
    let gone = format!("postgres://postgres@127.0.0.1:{}/{name}", postgres.port());
    assert!(PgConnection::connect(&gone).await.is_err());
}

#[tokio::test]
async fn migrated_databases_are_independent() {
    let postgres = start().await;
    let first = postgres.create_migrated_database("first").await.unwrap();
    let second = postgres.create_migrated_database("second").await.unwrap();
    let mut owner = connect(&first.url("point", Role::Owner)).await;
    sqlx::raw_sql("CREATE TABLE only_here (id int)").execute(&mut owner).await.unwrap();
    let mut other = connect(&second.url("point", Role::Owner)).await;
    assert!(sqlx::raw_sql("SELECT * FROM only_here").execute(&mut other).await.is_err());
}

#[tokio::test]
async fn throw_away_data_goes_with_the_server() {
    let postgres = start().await;
    let log = postgres.log_path().to_owned();
    assert!(log.is_file());
    drop(postgres);
    assert!(!log.exists());
    assert!(!log.parent().unwrap().exists());
}

#[tokio::test]
async fn a_failing_statement_leaves_no_personal_data_in_the_log() {
    let postgres = start().await;
    let database = postgres.create_database("discreet").await.unwrap();
    let mut owner = connect(&database.url("member", Role::Owner)).await;
    // With SELECT: Postgres names the key only to a role that may read it.
    let table =
        "CREATE TABLE customer (phone_no text PRIMARY KEY); GRANT SELECT, INSERT ON customer TO member_app";
    sqlx::raw_sql(table).execute(&mut owner).await.unwrap();

    let mut app = connect(&database.url("member", Role::App)).await;
    let literal = "INSERT INTO customer VALUES ('01085581234')";
    sqlx::raw_sql(literal).execute(&mut app).await.unwrap();
    sqlx::raw_sql(literal).execute(&mut app).await.unwrap_err();
    let bound = sqlx::query("INSERT INTO customer VALUES ($1)").bind("01085581234");
    bound.execute(&mut app).await.unwrap_err();

    let log = std::fs::read_to_string(postgres.log_path()).unwrap();
    assert_eq!(log.matches("duplicate key value violates unique constraint").count(), 2, "{log}");
    assert!(!log.contains("01085581234"), "{log}");
    assert!(!log.contains("INSERT INTO"), "{log}");
}

#[tokio::test]
async fn roles_log_in_with_the_given_password_only() {
    let postgres = start().await;
    let access = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(postgres.log_path().with_file_name("data").join("pg_hba.conf"), access).unwrap();
    postgres.restart().await.unwrap();

    for _ in 0..2 {
        let database =
            Database::create_with_password(&postgres.admin_url(), "given", "secret").await.unwrap();
        connect(&database.url("point", Role::App)).await;
    }
    let with_default = Database::create(&postgres.admin_url(), "given").await.unwrap();
    assert!(PgConnection::connect(&with_default.url("point", Role::App)).await.is_err());
}
