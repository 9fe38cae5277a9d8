//! Composition root.

use std::process::ExitCode;

use chassis::db::Migrations;
use chassis::group_read::GroupRead;
use chassis::{App, Runtime, idempotency};
use chrono::Utc;
use shared_events::delivery::{Delivery, DeliveryCommand, Wake, migrations};
use shared_events::topic::Topic;
use sqlx::migrate::Migrator;

use crate::config::Config;
use crate::http::{self, State};
use crate::metrics;
use crate::point_client::PointClient;
use crate::policy::Policies;
use crate::store::members;
use crate::usecase::join::Registrar;
use crate::usecase::republish_withdrawals::republish_forever;
use crate::usecase::withdraw::Withdrawals;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Puts the service together.
///
/// # Errors
/// When the client of point cannot be made.
pub async fn build(config: Config, runtime: Runtime) -> anyhow::Result<App> {
    metrics::start();
    let withdrawal_patience = config.withdrawal_patience();
    let point = PointClient::new(config.point_internal_url.clone(), &config.protection)?;
    let delivery = Delivery::new(&runtime, config.kafka);
    let relay = delivery.publish();
    delivery.subscribe(&[Topic::Message, Topic::Point], vec![relay.clone()], Policies);
    start_republishing(&runtime, &relay);
    idempotency::start_purging(&runtime);
    let sagas = runtime.supervisor.tracker();
    let members = GroupRead::new(runtime.pool.clone(), members::find_all);
    let registrar = Registrar::new(runtime.pool.clone(), relay.clone());
    let withdrawals = Withdrawals::new(runtime.pool.clone(), members.clone(), point, relay);
    let state = State {
        pool: runtime.pool,
        members,
        registrar,
        withdrawals,
        sagas,
        withdrawal_patience,
        clock: Utc::now,
    };
    Ok(App {
        public: http::public(state),
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
    vec![
        migrations::INBOX,
        migrations::OUTBOX,
        idempotency::MIGRATIONS,
        Migrations { table: "_sqlx_migrations", migrator: &MIGRATIONS },
    ]
}

fn start_republishing(runtime: &Runtime, relay: &Wake) {
    let (pool, relay) = (runtime.pool.clone(), relay.clone());
    runtime.supervisor.spawn("republish-withdrawals", move |token| {
        let (pool, relay) = (pool.clone(), relay.clone());
        async move {
            let republishing = republish_forever(&pool, &relay, Utc::now);
            Ok(token.run_until_cancelled(republishing).await.unwrap_or(Ok(()))?)
        }
    });
}
