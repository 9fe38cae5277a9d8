//! What each service's roles cannot do, asked of a real Postgres with all migrations applied. The tables are those
//! of the catalogue, so that new ones are covered.

#![allow(clippy::panic, reason = "clippy takes the helpers of integration tests for production code")]

use local_stack::database::{Database, Role, SERVICES};
use local_stack::postgres::{Postgres, PostgresOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;

const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// The migrated database that all tests look at; nothing that they try succeeds, so they share it.
async fn database() -> &'static Database {
    static STARTED: OnceCell<(Postgres, Database)> = OnceCell::const_new();
    let start = || async {
        let postgres = Postgres::start(PostgresOptions::default()).await.expect("Postgres starts");
        let database = postgres.create_migrated_database("roles").await.expect("a migrated database");
        (postgres, database)
    };
    &STARTED.get_or_init(start).await.1
}

/// A table with one of its columns that can be assigned to.
#[derive(Debug)]
struct Table {
    schema: String,
    name: String,
    column: String,
}

impl Table {
    fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Everything that can be done to its rows.
    fn row_statements(&self) -> [String; 5] {
        let (table, column) = (self.full_name(), &self.column);
        [
            format!("SELECT FROM {table}"),
            format!("INSERT INTO {table} DEFAULT VALUES"),
            format!("UPDATE {table} SET {column} = {column}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
        ]
    }

    /// Everything that only its owner may do.
    fn owner_statements(&self) -> [String; 8] {
        let (schema, table, column) = (&self.schema, self.full_name(), &self.column);
        [
            format!("ALTER TABLE {table} ADD COLUMN added int"),
            format!("ALTER TABLE {table} DROP COLUMN {column}"),
            format!("ALTER TABLE {table} RENAME TO renamed"),
            format!("ALTER TABLE {table} OWNER TO {schema}_app"),
            format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            format!("CREATE INDEX ON {table} ({column})"),
            format!("DROP TABLE {table} CASCADE"),
            format!("TRUNCATE {table} CASCADE"),
        ]
    }
}

async fn tables() -> Vec<Table> {
    let mut admin = connect_to(&database().await.admin_url()).await;
    let tables: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT table_schema, table_name, min(column_name) FROM information_schema.columns
         JOIN information_schema.tables USING (table_schema, table_name)
         WHERE table_schema = ANY($1) AND is_identity = 'NO' AND is_generated = 'NEVER'
         GROUP BY table_schema, table_name ORDER BY table_schema, table_name",
    )
    .bind(SERVICES)
    .fetch_all(&mut admin)
    .await
    .expect("the tables");
    tables.into_iter().map(|(schema, name, column)| Table { schema, name, column }).collect()
}

async fn sequences() -> Vec<(String, String)> {
    let mut admin = connect_to(&database().await.admin_url()).await;
    sqlx::query_as("SELECT schemaname, sequencename FROM pg_sequences WHERE schemaname = ANY($1)")
        .bind(SERVICES)
        .fetch_all(&mut admin)
        .await
        .expect("the sequences")
}

async fn connect_to(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("a connection")
}

async fn connect(service: &str, role: Role) -> PgConnection {
    connect_to(&database().await.url(service, role)).await
}

/// Every role with a connection of its own.
async fn roles() -> Vec<(&'static str, Role, PgConnection)> {
    let mut roles = Vec::new();
    for service in SERVICES {
        for role in [Role::Owner, Role::App] {
            roles.push((service, role, connect(service, role).await));
        }
    }
    roles
}

/// Tries a statement in a transaction that is rolled back, and returns the SQLSTATE of its failure.
async fn refusal(connection: &mut PgConnection, statement: &str) -> Option<String> {
    let mut tx = connection.begin().await.expect("a transaction");
    let outcome = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await;
    tx.rollback().await.expect("the rollback");
    let error = outcome.err()?;
    let code = error.as_database_error().and_then(|error| error.code());
    Some(code.unwrap_or_else(|| panic!("{statement}: {error}")).into_owned())
}

async fn assert_forbidden(connection: &mut PgConnection, who: &str, statement: &str) {
    let refusal = refusal(connection, statement).await;
    assert_eq!(refusal.as_deref(), Some(INSUFFICIENT_PRIVILEGE), "{who}: {statement}");
}

#[tokio::test]
async fn the_tables_of_all_services_are_looked_at() {
    let names: Vec<_> = tables().await.iter().map(Table::full_name).collect();
    for expected in [
        "member.member",
        "member.tombstone",
        "member.outbox",
        "message.message",
        "message.inbox",
        "point.account",
        "point.holder",
        "point.ledger_entry",
        "point.parked_event",
        "mypage.page",
        "mypage._sqlx_migrations",
    ] {
        assert!(names.iter().any(|name| name == expected), "{expected} is not in {names:?}");
    }
}

#[tokio::test]
async fn no_role_reads_or_writes_the_schema_of_another_service() {
    let (tables, sequences) = (tables().await, sequences().await);
    for (service, role, mut connection) in roles().await {
        let who = format!("{service} {role:?}");
        for table in tables.iter().filter(|table| table.schema != service) {
            for statement in table.row_statements().iter().chain(&table.owner_statements()) {
                assert_forbidden(&mut connection, &who, statement).await;
            }
        }
        for (schema, sequence) in sequences.iter().filter(|(schema, _)| schema != service) {
            assert_forbidden(&mut connection, &who, &format!("SELECT nextval('{schema}.{sequence}')")).await;
            assert_forbidden(&mut connection, &who, &format!("SELECT last_value FROM {schema}.{sequence}"))
                .await;
        }
    }
}

#[tokio::test]
async fn no_role_creates_anything_outside_of_its_schema() {
    for (service, role, mut connection) in roles().await {
        let who = format!("{service} {role:?}");
        let elsewhere =
            SERVICES.into_iter().filter(|schema| *schema != service).chain(["public", "pg_catalog"]);
        for schema in elsewhere {
            assert_forbidden(&mut connection, &who, &format!("CREATE TABLE {schema}.intruder (id int)"))
                .await;
        }
        assert_forbidden(&mut connection, &who, "CREATE TEMP TABLE intruder (id int)").await;
        assert_forbidden(&mut connection, &who, "CREATE SCHEMA intruder").await;
        assert_forbidden(&mut connection, &who, "CREATE ROLE intruder").await;
        assert_forbidden(&mut connection, &who, "COPY (SELECT 1) TO PROGRAM 'true'").await;
    }
}

#[tokio::test]
async fn no_role_becomes_another() {
    for (service, role, mut connection) in roles().await {
        let who = format!("{service} {role:?}");
        let own = match role {
            Role::Owner => format!("{service}_owner"),
            Role::App => format!("{service}_app"),
        };
        let others =
            SERVICES.into_iter().flat_map(|other| [format!("{other}_owner"), format!("{other}_app")]);
        for other in others.filter(|other| *other != own).chain(["postgres".to_owned()]) {
            assert_forbidden(&mut connection, &who, &format!("SET ROLE {other}")).await;
        }
    }
}

#[tokio::test]
async fn a_serving_role_creates_alters_and_drops_nothing_in_its_own_schema() {
    let tables = tables().await;
    for service in SERVICES {
        let mut connection = connect(service, Role::App).await;
        let who = format!("{service} app");
        assert_forbidden(&mut connection, &who, &format!("CREATE TABLE {service}.intruder (id int)")).await;
        assert_forbidden(&mut connection, &who, &format!("CREATE VIEW {service}.intruder AS SELECT 1")).await;
        assert_forbidden(&mut connection, &who, &format!("DROP SCHEMA {service} CASCADE")).await;
        for table in tables.iter().filter(|table| table.schema == service) {
            for statement in table.owner_statements() {
                assert_forbidden(&mut connection, &who, &statement).await;
            }
        }
    }
}

#[tokio::test]
async fn a_serving_role_reads_its_own_tables_but_leaves_the_bookkeeping_of_migrations_alone() {
    for table in tables().await {
        let mut connection = connect(&table.schema, Role::App).await;
        let who = format!("{} app", table.schema);
        let [select, insert, update, delete, truncate] = table.row_statements();
        if table.name.starts_with("_sqlx_migrations") {
            for statement in [insert, update, delete, truncate] {
                assert_forbidden(&mut connection, &who, &statement).await;
            }
        } else {
            assert_eq!(refusal(&mut connection, &select).await, None, "{who}: {select}");
        }
    }
}

#[tokio::test]
async fn what_must_never_be_changed_or_deleted_cannot_be() {
    for (table, column, forbidden) in [
        ("point.ledger_entry", "amount", &["UPDATE", "DELETE", "TRUNCATE"][..]),
        ("point.account", "balance", &["DELETE", "TRUNCATE"]),
        ("point.holder", "last_version", &["DELETE", "TRUNCATE"]),
        ("member.tombstone", "membership_id", &["DELETE", "TRUNCATE"]),
        ("message.message", "status", &["DELETE", "TRUNCATE"]),
        ("mypage.page", "nickname", &["DELETE", "TRUNCATE"]),
    ] {
        assert_forbidden_to_app(table, column, forbidden).await;
    }
    for service in SERVICES {
        assert_forbidden_to_app(&format!("{service}.inbox"), "received_at", &["UPDATE", "TRUNCATE"]).await;
        if service != "mypage" {
            assert_forbidden_to_app(&format!("{service}.outbox"), "payload", &["UPDATE", "TRUNCATE"]).await;
        }
    }
}

async fn assert_forbidden_to_app(table: &str, column: &str, commands: &[&str]) {
    let (service, _) = table.split_once('.').expect("a schema and a name");
    let mut connection = connect(service, Role::App).await;
    for command in commands {
        let statement = match *command {
            "UPDATE" => format!("UPDATE {table} SET {column} = {column}"),
            "DELETE" => format!("DELETE FROM {table}"),
            other => format!("{other} {table}"),
        };
        assert_forbidden(&mut connection, service, &statement).await;
    }
}
