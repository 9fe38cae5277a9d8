//! Composition root.

use std::process::ExitCode;
use std::sync::Arc;

use chassis::db::Migrations;
use chassis::{App, Runtime};
use shared_events::delivery::{Delivery, DeliveryCommand, Wake, migrations};
use shared_events::time::now;
use shared_events::topic::Topic;
use sqlx::migrate::Migrator;

use crate::config::Config;
use crate::http::{self, State};
use crate::metrics;
use crate::policy::Policies;
use crate::queue_watch::watch_forever;
use crate::store::send_counts;
use crate::usecase::claim_messages::SpendingGuard;
use crate::usecase::finish_message::Finisher;
use crate::worker::Worker;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Puts the service together.
///
/// # Errors
/// When the gateway cannot be set up; the settings were validated before.
pub async fn build(config: Config, runtime: Runtime) -> anyhow::Result<App> {
    metrics::start();
    let limits = config.limits();
    let delivery = Delivery::new(&runtime, config.kafka);
    let relay = delivery.publish();
    let wake = Wake::new();
    delivery.subscribe(&[Topic::Member, Topic::Point], vec![wake.clone()], Policies { clock: now });
    let worker = Arc::new(Worker {
        pool: runtime.pool.clone(),
        gateway: config.gateway.gateway().map_err(anyhow::Error::msg)?,
        timeout: config.gateway.timeout(),
        guard: SpendingGuard::new(limits),
        budget: config.sending.budget(),
        texts: config.sending.texts().map_err(anyhow::Error::msg)?,
        wake: wake.clone(),
        finisher: Finisher::new(runtime.pool.clone(), relay),
        concurrency: usize::from(config.sending.send_concurrency),
        clock: now,
    });
    runtime.supervisor.spawn("sms-worker", move |token| {
        let worker = Arc::clone(&worker);
        async move { Ok(worker.run(token).await?) }
    });
    let pool = runtime.pool.clone();
    runtime.supervisor.spawn("send-count-purge", move |token| {
        let pool = pool.clone();
        async move {
            let purged = token.run_until_cancelled(send_counts::purge_forever(&pool, now)).await;
            Ok(purged.unwrap_or(Ok(()))?)
        }
    });
    let pool = runtime.pool.clone();
    runtime.supervisor.spawn("queue-watch", move |token| {
        let pool = pool.clone();
        async move {
            let watched = token.run_until_cancelled(watch_forever(&pool, now)).await;
            Ok(watched.unwrap_or(Ok(()))?)
        }
    });
    Ok(App {
        document: Some(http::document()),
        public: http::public(State { pool: runtime.pool, worker: wake, clock: now }),
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
    command.run(&runtime.pool, Policies { clock: now }).await
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
