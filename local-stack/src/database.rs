//! A database with a schema, an owner role and an app role for each service.

use std::net::IpAddr;

use anyhow::Context;
use reqwest::Url;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};

/// The four services, in the order in which they are listed everywhere.
pub const SERVICES: [&str; 4] = ["member", "message", "point", "mypage"];

/// The password of all service roles on a server that only this machine reaches.
pub const DEFAULT_PASSWORD: &str = "mileage";

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
    role_password: String,
}

impl Database {
    /// Creates the database `name` on the server that the superuser's `admin_url` leads to, if it is not there yet,
    /// and the services' schemas and roles in it.
    pub async fn create(admin_url: &str, name: &str) -> anyhow::Result<Self> {
        Self::create_with_password(admin_url, name, DEFAULT_PASSWORD).await
    }

    /// As [`create`](Self::create); new roles get `role_password`, and those that exist must have it.
    pub async fn create_with_password(
        admin_url: &str,
        name: &str,
        role_password: &str,
    ) -> anyhow::Result<Self> {
        Self::create_from("template0", admin_url, name, role_password).await
    }

    /// Creates the database `name` as a copy of `template`, to which nobody may be connected.
    pub async fn copy(template: &Self, admin_url: &str, name: &str) -> anyhow::Result<Self> {
        Self::create_from(template.name(), admin_url, name, &template.role_password).await
    }

    async fn create_from(
        template: &str,
        admin_url: &str,
        name: &str,
        role_password: &str,
    ) -> anyhow::Result<Self> {
        let mut admin = Url::parse(admin_url).context("not a Postgres URL")?;
        create_if_absent(admin_url, name, template)
            .await
            .with_context(|| format!("cannot create the database {name}"))?;
        admin.set_path(name);
        bootstrap(admin.as_str(), role_password)
            .await
            .with_context(|| format!("cannot create schemas and roles in {name}"))?;
        Ok(Self { admin, role_password: role_password.to_owned() })
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
        let _ = url.set_password(Some(&self.role_password));
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

/// Refuses the password that everybody knows for roles on a server that others may reach.
///
/// # Errors
/// When `role_password` is the default one and the host of `admin_url` is not this machine.
pub fn check_role_password(admin_url: &str, role_password: &str) -> anyhow::Result<()> {
    let options: PgConnectOptions = admin_url.parse().context("not a Postgres URL")?;
    let host = options.get_host().trim_matches(['[', ']']);
    let is_local = options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    anyhow::ensure!(
        is_local || role_password != DEFAULT_PASSWORD,
        "Postgres at {host} may be reached by others: give its service roles a password in MILEAGE_ROLE_PASSWORD"
    );
    Ok(())
}

/// Creates the services' schemas and roles in the database that `admin_url` names. Can be repeated.
pub async fn bootstrap(admin_url: &str, role_password: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(admin_url).await?;
    sqlx::query("SELECT set_config('mileage.role_password', $1, false)")
        .bind(role_password)
        .execute(&mut connection)
        .await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_password_is_for_this_machine_only() {
        for local in ["localhost", "127.0.0.1:5433", "127.8.0.1", "[::1]", "%2Fvar%2Frun%2Fpostgresql"] {
            check_role_password(&format!("postgres://postgres@{local}/mileage"), DEFAULT_PASSWORD).unwrap();
        }
        for remote in ["db.example.org", "10.0.0.7", "[fd00::7]", "localhost.example.org", "x?host=10.0.0.7"]
        {
            let url = format!("postgres://postgres@{remote}");
            let error = check_role_password(&url, DEFAULT_PASSWORD).unwrap_err().to_string();
            assert!(error.contains("MILEAGE_ROLE_PASSWORD"), "{error}");
            check_role_password(&url, "another").unwrap();
        }
    }
}
