//! Composition root.

use std::process::ExitCode;

use chassis::db::Migrations;
use chassis::{App, Runtime};
use shared_events::delivery::{Delivery, DeliveryCommand, migrations};
use shared_events::topic::Topic;
use sqlx::migrate::Migrator;

use crate::config::Config;
use crate::http::{self, State};
use crate::policy::Policies;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Puts the service together.
///
/// # Errors
/// None so far; the chassis allows for them.
pub async fn build(config: Config, runtime: Runtime) -> anyhow::Result<App> {
    let delivery = Delivery::new(&runtime, config.kafka);
    delivery.subscribe(&[Topic::Member, Topic::Point], Vec::new(), Policies);
    Ok(App {
        public: http::public(State::new(runtime.pool)),
        document: Some(http::document()),
        internal: axum::Router::new(),
        migrators: migrators(),
    })
}

/// Carries out a command of the command line.
///
/// # Errors
/// When the database or the output fails.
pub async fn perform(
    command: DeliveryCommand,
    _config: Config,
    runtime: Runtime,
) -> anyhow::Result<ExitCode> {
    command.run(&runtime.pool, Policies).await
}

/// What has to be in the schema.
#[must_use]
pub fn migrators() -> Vec<Migrations> {
    vec![migrations::INBOX, Migrations { table: "_sqlx_migrations", migrator: &MIGRATIONS }]
}
