//! Composition root.

use std::process::ExitCode;
use std::sync::Arc;

use chassis::db::Migrations;
use chassis::{App, Runtime};
use chrono::Utc;
use shared_events::delivery::{Delivery, DeliveryCommand, Wake, migrations};
use shared_events::topic::Topic;
use sqlx::migrate::Migrator;

use crate::config::Config;
use crate::gateway::SimulatedGateway;
use crate::http::{self, State};
use crate::policy::Policies;
use crate::worker::Worker;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Puts the service together.
///
/// # Errors
/// None so far; the chassis allows for them.
pub async fn build(config: Config, runtime: Runtime) -> anyhow::Result<App> {
    let delivery = Delivery::new(&runtime, config.kafka);
    let relay = delivery.publish();
    let wake = Wake::new();
    delivery.subscribe(&[Topic::Member], vec![wake.clone()], Policies { clock: Utc::now });
    let worker = Arc::new(Worker {
        pool: runtime.pool.clone(),
        gateway: SimulatedGateway::new(config.gateway),
        wake,
        relay,
        concurrency: usize::from(config.send_concurrency),
        clock: Utc::now,
    });
    runtime.supervisor.spawn("sms-worker", move |token| {
        let worker = Arc::clone(&worker);
        async move { Ok(worker.run(token).await?) }
    });
    Ok(App {
        public: http::public(State { pool: runtime.pool }),
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
    command.run(&runtime.pool, Policies { clock: Utc::now }).await
}

/// What has to be in the schema.
#[must_use]
pub fn migrators() -> Vec<Migrations> {
    vec![
        migrations::INBOX,
        migrations::OUTBOX,
        Migrations { table: "_sqlx_migrations", migrator: &MIGRATIONS },
    ]
}
