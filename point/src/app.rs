//! Composition root.

use std::process::ExitCode;

use chassis::db::Migrations;
use chassis::group_read::GroupRead;
use chassis::{App, Runtime, idempotency};
use clap::Subcommand;
use shared_events::delivery::{Delivery, DeliveryCommand, Wake, migrations};
use shared_events::time::now;
use shared_events::topic::Topic;
use sqlx::migrate::Migrator;

use crate::config::Config;
use crate::http::{self, State};
use crate::metrics;
use crate::policy::Policies;
use crate::reconcile::{ReconcileArgs, reconcile};
use crate::store::lots;
use crate::usecase::expire_points::expire_forever;
use crate::usecase::forfeit_points::Forfeiter;
use crate::usecase::notify_expiry::notify_forever;
use crate::usecase::transact::Transactor;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Puts the service together.
///
/// # Errors
/// None so far; the chassis allows for them.
pub async fn build(config: Config, runtime: Runtime) -> anyhow::Result<App> {
    let forfeit_delay = config.fault_forfeit_delay_ms;
    if let Some(delay) = forfeit_delay {
        tracing::warn!(?delay, "forfeitures are slowed down on purpose");
    }
    metrics::start();
    let delivery = Delivery::new(&runtime, config.kafka);
    let relay = delivery.publish();
    let terms = config.terms.terms();
    delivery.subscribe(&[Topic::Member], vec![relay.clone()], Policies { validity: terms.validity });
    start_expiry(&runtime, &relay);
    idempotency::start_purging(&runtime);
    let transactor = Transactor::new(runtime.pool.clone(), relay.clone(), terms);
    let accounts = GroupRead::new(runtime.pool.clone(), lots::find_accounts);
    let forfeiter = Forfeiter::new(runtime.pool.clone(), relay);
    let state = State { pool: runtime.pool, accounts, clock: now, transactor, forfeiter, forfeit_delay };
    Ok(App {
        public: http::public(state.clone()),
        document: Some(http::document()),
        internal: http::internal(state),
        migrators: migrators(),
    })
}

fn start_expiry(runtime: &Runtime, relay: &Wake) {
    let (pool, relay) = (runtime.pool.clone(), relay.clone());
    runtime.supervisor.spawn("point-expiry", move |token| {
        let (pool, relay) = (pool.clone(), relay.clone());
        async move {
            let expiring = async {
                tokio::try_join!(expire_forever(&pool, &relay, now), notify_forever(&pool, &relay, now))
            };
            match token.run_until_cancelled(expiring).await {
                Some(Err(error)) => Err(error.into()),
                Some(Ok(_)) | None => Ok(()),
            }
        }
    });
}

/// What the service can do besides serving.
#[derive(Clone, Debug, Subcommand)]
pub enum PointCommand {
    /// Parked events.
    #[command(flatten)]
    Delivery(DeliveryCommand),
    /// Compares the entries, the balance and the lots of every account, and what my page shows; exits with 1 when anything
    /// differs, and with 2 when not everything could be compared
    Reconcile(ReconcileArgs),
}

/// Carries out a command of the command line.
///
/// # Errors
/// When the database, my page or the output fails.
pub async fn perform(command: PointCommand, config: Config, runtime: Runtime) -> anyhow::Result<ExitCode> {
    match command {
        PointCommand::Reconcile(args) => reconcile(&runtime.pool, &args).await,
        PointCommand::Delivery(command) => {
            let validity = config.terms.terms().validity;
            command.run(&runtime.pool, Policies { validity }).await
        }
    }
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
