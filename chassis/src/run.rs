//! The one start-up path of all services.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::cli::{self, Parsed};
use crate::error::chain;
use crate::http::{ServerState, Servers, listener};
use crate::shutdown::{Signals, shut_down};
use crate::{
    App, Lifecycle, Runtime, Service, Settings, Supervisor, Validate, db, descriptors, health_check, metrics,
    telemetry,
};

/// Runs a service: the whole of its `main`. Serves until the process has been told to stop or cannot go on, or carries
/// out the command that the command line names.
///
/// Exit codes: 0 after a graceful shutdown, 1 after a fatal error or an ungraceful shutdown, 2 for a wrong setting; a
/// command has its own.
pub fn run<C, S, Build, Building, Perform, Performing>(
    service: Service,
    build: Build,
    perform: Perform,
) -> ExitCode
where
    C: Args + AsRef<Settings> + Validate,
    S: Subcommand,
    Build: FnOnce(C, Runtime) -> Building,
    Building: Future<Output = anyhow::Result<App>>,
    Perform: FnOnce(S, C, Runtime) -> Performing,
    Performing: Future<Output = anyhow::Result<ExitCode>>,
{
    match cli::parse::<C, S>(&service, std::env::args_os()) {
        Ok(Parsed::Serve(config)) => serve(service, config, build),
        Ok(Parsed::Command(config, command)) => {
            let settings = Arc::new(config.as_ref().clone());
            block_on(service, &settings, async {
                let runtime = runtime(service, Arc::clone(&settings))?;
                let pool = runtime.pool.clone();
                let code = perform(command, config, runtime).await;
                pool.close().await;
                code
            })
        }
        Ok(Parsed::HealthCheck(config)) => health_check::run(&service, config.as_ref()),
        Ok(Parsed::Answer(text)) => {
            // Nobody is left to be told when standard output is closed.
            let _ = write!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(line) => {
            eprintln!("{}: {line}", service.name);
            ExitCode::from(2)
        }
    }
}

/// Serves, with settings that have been parsed and validated already.
pub fn serve<C, Build, Building>(service: Service, config: C, build: Build) -> ExitCode
where
    C: AsRef<Settings>,
    Build: FnOnce(C, Runtime) -> Building,
    Building: Future<Output = anyhow::Result<App>>,
{
    let settings = Arc::new(config.as_ref().clone());
    block_on(service, &settings, async {
        descriptors::raise_limit(&settings);
        let runtime = runtime(service, Arc::clone(&settings))?;
        live(config, runtime, build).await.map(|()| ExitCode::SUCCESS)
    })
}

/// Starts logging and the async runtime, and logs the error that ends the process.
fn block_on(
    service: Service,
    settings: &Settings,
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> ExitCode {
    if let Err(error) = telemetry::start(settings) {
        eprintln!("{}: cannot start logging: {}", service.name, chain(error.as_ref()));
        return ExitCode::FAILURE;
    }
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")
        .and_then(|runtime| {
            let outcome = runtime.block_on(work);
            runtime.shutdown_background();
            outcome
        });
    outcome.unwrap_or_else(|error| {
        tracing::error!(error = chain(error.as_ref()), "{} ends", service.name);
        ExitCode::FAILURE
    })
}

fn runtime(service: Service, settings: Arc<Settings>) -> anyhow::Result<Runtime> {
    Ok(Runtime {
        service,
        pool: db::pool(&settings, &service).context("cannot use the database URL")?,
        settings,
        supervisor: Supervisor::new(),
        lifecycle: Lifecycle::default(),
    })
}

/// From the first connection to the last.
async fn live<C, Build, Building>(config: C, runtime: Runtime, build: Build) -> anyhow::Result<()>
where
    Build: FnOnce(C, Runtime) -> Building,
    Building: Future<Output = anyhow::Result<App>>,
{
    let mut signals = Signals::listen()?;
    let metrics = metrics::install(&runtime.service)?;
    let app = build(config, runtime.clone()).await.context("cannot build the service")?;
    let servers = listen(&runtime, &app, metrics).await?;

    let outcome = tokio::select! {
        biased;
        signal = signals.next() => {
            tracing::info!(signal, "shutting down");
            Ok(())
        }
        error = runtime.supervisor.fatal() => Err(error),
        error = servers.failure() => Err(error),
        error = start_up(&runtime, &app) => Err(error),
    };
    let stopped = shut_down(&runtime, &servers, &mut signals, outcome.is_ok()).await;
    outcome.and(stopped)
}

/// Opens both listeners, before anything is known of Postgres: a process that waits for it is alive.
async fn listen(runtime: &Runtime, app: &App, metrics: PrometheusHandle) -> anyhow::Result<Servers> {
    let settings = &runtime.settings;
    let public = listener(settings.listen).context("cannot open the public listener")?;
    let internal = listener(settings.internal_listen).context("cannot open the internal listener")?;
    tokio::spawn(metrics::keep_up(metrics.clone()));
    let state = Arc::new(ServerState::new(settings, runtime.lifecycle.clone()));
    let servers = Servers::start(runtime, app, public, internal, state, metrics)?;
    tracing::info!(public = %servers.public_address, internal = %servers.internal_address, "listening");
    Ok(servers)
}

/// Migrates and starts the background tasks; returns only when that cannot be done.
async fn start_up(runtime: &Runtime, app: &App) -> anyhow::Error {
    if let Err(error) = db::prepare(&runtime.settings, &runtime.service, &app.migrators).await {
        return error.into();
    }
    db::warm_up(&runtime.pool, &runtime.settings).await;
    runtime.lifecycle.start();
    runtime.supervisor.start();
    tracing::info!("started");
    std::future::pending().await
}
