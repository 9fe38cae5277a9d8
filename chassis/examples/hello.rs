//! The smallest service on the chassis, which the tests of the chassis run as a process.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::{get, post};
use axum::{Json, Router};
use chassis::db::Migrations;
use chassis::hal::{BaseUrl, Resource};
use chassis::{App, Problem, Runtime, Service, Settings, TaskError};
use clap::Subcommand;
use serde_json::json;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

const SERVICE: Service =
    Service { name: "hello", about: "Says hello.", public_port: 8089, internal_port: 9089 };

static MIGRATIONS: Migrator = sqlx::migrate!("examples/migrations");

/// What it can do besides serving.
#[derive(Subcommand)]
enum Command {
    /// Counts the greetings and exits with their number
    Count,
}

fn main() -> ExitCode {
    chassis::run(SERVICE, build, perform)
}

async fn perform(command: Command, _settings: Settings, runtime: Runtime) -> anyhow::Result<ExitCode> {
    match command {
        Command::Count => Ok(ExitCode::from(u8::try_from(count(&runtime.pool).await?)?)),
    }
}

async fn build(_settings: Settings, runtime: Runtime) -> anyhow::Result<App> {
    let (holding, ending) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    end_on_request(&runtime, Arc::clone(&ending));

    let pool = runtime.pool.clone();
    let (held, tracker) = (Arc::clone(&holding), runtime.supervisor.tracker());
    let public = Router::new()
        .route("/greetings", get(async move |base: BaseUrl| greetings(&pool, &base).await))
        .route("/held", get(async move || hold(&holding).await));
    let internal = Router::new()
        .route("/held", get(async move || Json(json!({"held": held.load(Ordering::SeqCst)}))))
        .route("/end", post(async move || ending.notify_one()))
        .route("/linger", post(async move || drop(tracker.spawn(std::future::pending::<()>()))));
    Ok(App {
        document: None,
        public,
        internal,
        migrators: vec![Migrations { table: "_sqlx_migrations", migrator: &MIGRATIONS }],
    })
}

async fn greetings(pool: &PgPool, base: &BaseUrl) -> Result<Resource<serde_json::Value>, Problem> {
    let count = count(pool).await?;
    Ok(Resource::new("greetings", base.href("/greetings"), json!({"count": count})))
}

async fn count(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM greeting").fetch_one(pool).await
}

/// Answers when the process gets SIGUSR1.
async fn hold(holding: &AtomicUsize) -> Result<(), Problem> {
    let mut release = signal(SignalKind::user_defined1()).map_err(|error| Problem::internal(&error))?;
    holding.fetch_add(1, Ordering::SeqCst);
    release.recv().await;
    Ok(())
}

fn end_on_request(runtime: &Runtime, ending: Arc<Notify>) {
    runtime.supervisor.spawn("ender", move |token| {
        let ending = Arc::clone(&ending);
        async move {
            tokio::select! {
                () = token.cancelled() => {
                    tracing::info!("ender was told to stop");
                    Ok(())
                }
                () = ending.notified() => Err(TaskError::Fatal(anyhow::anyhow!("told to end"))),
            }
        }
    });
}
