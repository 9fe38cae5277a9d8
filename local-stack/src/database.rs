//! A database with a schema, an owner role and an app role for each service.

use anyhow::Context;
use reqwest::Url;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The four services, in the order in which they are listed everywhere.
pub const SERVICES: [&str; 4] = ["member", "message", "point", "mypage"];

/// The password of all service roles; loopback only.
const PASSWORD: &str = "mileage";

/// Creates schemas and roles in the current database; also for `psql` and Docker's entry point.
pub const BOOTSTRAP: &str = include_str!("../postgres/bootstrap.sql");

/// Which of a service's two roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Owns the schema and migrates it.
    Owner,
    /// Serves requests.
    App,
}

/// One database of a running server.
#[derive(Debug, Clone)]
pub struct Database {
    admin: Url,
}

impl Database {
    /// Creates the database `name` on the server that the superuser's `admin_url` leads to, if it is not there yet,
    /// and the services' schemas and roles in it.
    pub async fn create(admin_url: &str, name: &str) -> anyhow::Result<Self> {
        Self::create_from("template0", admin_url, name).await
    }

    /// Creates the database `name` as a copy of `template`, to which nobody may be connected.
    pub async fn copy(template: &Self, admin_url: &str, name: &str) -> anyhow::Result<Self> {
        Self::create_from(template.name(), admin_url, name).await
    }

    async fn create_from(template: &str, admin_url: &str, name: &str) -> anyhow::Result<Self> {
        let mut admin = Url::parse(admin_url).context("not a Postgres URL")?;
        create_if_absent(admin_url, name, template)
            .await
            .with_context(|| format!("cannot create the database {name}"))?;
        admin.set_path(name);
        bootstrap(admin.as_str())
            .await
            .with_context(|| format!("cannot create schemas and roles in {name}"))?;
        Ok(Self { admin })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.admin.path().trim_start_matches('/')
    }

    /// The superuser's URL.
    pub fn admin_url(&self) -> String {
        self.admin.to_string()
    }

    /// The URL for one role of one service, with the service's schema as search path.
    pub fn url(&self, service: &str, role: Role) -> String {
        let user = match role {
            Role::Owner => format!("{service}_owner"),
            Role::App => format!("{service}_app"),
        };
        let mut url = self.admin.clone();
        // Fails only for a URL without a host, and Postgres URLs have one.
        let _ = url.set_username(&user);
        let _ = url.set_password(Some(PASSWORD));
        with_search_path(url, service)
    }

    /// The superuser's URL with all four schemas as search path; for `cargo sqlx prepare`.
    pub fn all_schemas_url(&self) -> String {
        with_search_path(self.admin.clone(), &SERVICES.join(","))
    }

    /// Removes it, whoever is connected.
    pub async fn drop(self) -> anyhow::Result<()> {
        let name = self.name().to_owned();
        let mut server = self.admin;
        server.set_path("postgres");
        let mut connection = PgConnection::connect(server.as_str()).await?;
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(&name));
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }
}

/// Creates the services' schemas and roles in the database that `admin_url` names. Can be repeated.
pub async fn bootstrap(admin_url: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(admin_url).await?;
    sqlx::raw_sql(BOOTSTRAP).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

async fn create_if_absent(admin_url: &str, name: &str, template: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(admin_url).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        let statement =
            format!("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'", quoted(name), quoted(template));
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await {
            anyhow::ensure!(was_created_meanwhile(&error), error);
        }
    }
    Ok(connection.close().await?)
}

/// `duplicate_database`, or `unique_violation` when two create it in the same instant.
fn was_created_meanwhile(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == "42P04" || code == "23505")
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn with_search_path(mut url: Url, schemas: &str) -> String {
    url.query_pairs_mut().append_pair("options", &format!("-csearch_path={schemas}"));
    url.to_string()
}
