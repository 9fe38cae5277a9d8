//! The settings every service has, from arguments or the environment.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum, value_parser};
use http::Uri;
use sqlx::postgres::PgConnectOptions;
use tracing_subscriber::filter::Targets;

use crate::http::Limits;

/// Checks that go beyond what one argument's parser can see.
pub trait Validate {
    /// Says in one line what is wrong, if anything is.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The settings every service has. A service's own settings flatten this.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address of the public listener
    #[arg(long, env)]
    pub listen: SocketAddr,

    /// Address of the internal listener: metrics, health and calls between services. Never route it from outside
    #[arg(long, env)]
    pub internal_listen: SocketAddr,

    /// Base URL of the public listener as clients see it, for links [default: from the request's Host header]
    #[arg(long, env)]
    pub public_url: Option<String>,

    /// How callers are authenticated. `none` makes everybody an operator and must be said explicitly when the public
    /// listener is not on a loopback address [default: none, on a loopback address]
    #[arg(long, env)]
    pub auth: Option<Auth>,

    /// Form of the log lines, which go to standard error
    #[arg(long, env, value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// Log filter: a level, or directives such as `info,sqlx=warn`
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub log: String,

    /// Postgres as the role that serves: `postgres://user:password@host:port/database`
    #[arg(long, env, hide_env_values = true, value_parser = DatabaseUrl::parse)]
    pub database_url: DatabaseUrl,

    /// Postgres as the role that migrates [default: as --database-url]
    #[arg(long, env, hide_env_values = true, value_parser = DatabaseUrl::parse)]
    pub migration_database_url: Option<DatabaseUrl>,

    /// Do not migrate at start; refuse to start when the database is behind
    #[arg(long, env, num_args = 0..=1, default_value_t = false, default_missing_value = "true",
          action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub no_migrate: bool,

    /// Most connections to Postgres
    #[arg(long, env, default_value_t = 16, value_parser = value_parser!(u32).range(1..=1_000))]
    pub db_max_connections: u32,

    /// How long a request waits for a connection to Postgres before it is answered with 503, in milliseconds
    #[arg(long, env, default_value_t = 2_000, value_parser = value_parser!(u64).range(10..=60_000))]
    pub db_acquire_timeout_ms: u64,

    /// Largest request body, in bytes
    #[arg(long, env, default_value_t = Limits::BODY_BYTES, value_parser = value_parser!(u64).range(1_024..=16_777_216))]
    pub body_limit_bytes: u64,

    /// How long a client may take to send a request body, in milliseconds
    #[arg(long, env, default_value_t = Limits::BODY_TIMEOUT_MS, value_parser = value_parser!(u64).range(10..=600_000))]
    pub body_timeout_ms: u64,

    /// How long a client may take to send a request's head; idle connections are closed after it too, in milliseconds
    #[arg(long, env, default_value_t = 60_000, value_parser = value_parser!(u64).range(10..=600_000))]
    pub header_timeout_ms: u64,

    /// Most connections to the public listener; further ones wait, and while one does, each answer closes its connection
    #[arg(long, env, default_value_t = 800, value_parser = value_parser!(u32).range(1..=100_000))]
    pub max_connections: u32,

    /// How long a request may take before it is answered with 503, in milliseconds
    #[arg(long, env, default_value_t = Limits::REQUEST_TIMEOUT_MS, value_parser = value_parser!(u64).range(10..=600_000))]
    pub request_timeout_ms: u64,

    /// How long to go on serving while not ready after the first SIGTERM, so that load balancers notice, in
    /// milliseconds
    #[arg(long, env, default_value_t = 0, value_parser = value_parser!(u64).range(0..=600_000))]
    pub drain_ms: u64,

    /// How long requests, in the first half, and background tasks may take to finish after that, in milliseconds
    #[arg(long, env, default_value_t = 20_000, value_parser = value_parser!(u64).range(1..=600_000))]
    pub shutdown_grace_ms: u64,
}

impl Settings {
    /// How callers are authenticated.
    pub fn auth(&self) -> Auth {
        self.auth.unwrap_or(Auth::None)
    }

    /// Postgres as the role that migrates.
    pub fn migration_database_url(&self) -> &DatabaseUrl {
        self.migration_database_url.as_ref().unwrap_or(&self.database_url)
    }

    /// What the HTTP layers need of the settings.
    pub fn limits(&self) -> Limits {
        Limits {
            body_bytes: self.body_limit_bytes,
            body_timeout: Duration::from_millis(self.body_timeout_ms),
            request_timeout: Duration::from_millis(self.request_timeout_ms),
        }
    }
}

impl AsRef<Settings> for Settings {
    fn as_ref(&self) -> &Settings {
        self
    }
}

impl Validate for Settings {
    fn validate(&self) -> Result<(), String> {
        if self.auth.is_none() && !self.listen.ip().is_loopback() {
            return Err(format!(
                "{} is not a loopback address: there, say --auth none (or AUTH=none) to let everybody do everything",
                self.listen
            ));
        }
        if self.listen == self.internal_listen && self.listen.port() != 0 {
            return Err(format!("the public and the internal listener are both {}", self.listen));
        }
        if let Some(url) = &self.public_url {
            validate_public_url(url)?;
        }
        let filter = self.log.parse::<Targets>();
        filter.map_err(|error| format!("--log (RUST_LOG) {:?}: {error}", self.log))?;
        self.database_url.validate("--database-url (DATABASE_URL)")?;
        self.migration_database_url().validate("--migration-database-url (MIGRATION_DATABASE_URL)")
    }
}

fn validate_public_url(url: &str) -> Result<(), String> {
    let uri = url.parse::<Uri>().map_err(|error| format!("--public-url (PUBLIC_URL) {url:?}: {error}"))?;
    let is_base = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
    if is_base {
        Ok(())
    } else {
        Err(format!("--public-url (PUBLIC_URL) {url:?} is not like https://example.org/path"))
    }
}

/// How callers are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// Everybody is an operator.
    None,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Pretty,
}

/// A Postgres URL. It holds a password, so neither `Debug` nor an error message shows it.
#[derive(Clone)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Takes any text: a refusal by the argument parser would show the password. [`Settings::validate`] checks it.
    fn parse(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }

    /// The URL itself, with the password.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn validate(&self, setting: &str) -> Result<(), String> {
        let has_scheme = ["postgres://", "postgresql://"].iter().any(|scheme| self.0.starts_with(scheme));
        if has_scheme && PgConnectOptions::from_str(&self.0).is_ok() {
            Ok(())
        } else {
            Err(format!("{setting} is not like postgres://user:password@host:port/database"))
        }
    }
}

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}
