//! `up`: starts everything and looks after it until it is told to stop.

use std::{process::ExitCode, sync::Arc, time::Duration};

use local_stack::{
    database::SERVICES,
    report::say,
    stack::{BrokerSource, Stack},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    UpArguments,
    plan::{self, PortPlan},
    ports,
    running::{Folder, Running},
    supervise::Supervision,
};

/// How long the parts of a supervisor that was killed may take to end.
const FORMER_STACK_PATIENCE: Duration = Duration::from_secs(10);

/// The line that ends a successful start begins with this; `up -d` waits for it.
pub(super) const READY: &str = "ready:";

pub(super) async fn run(arguments: UpArguments) -> anyhow::Result<ExitCode> {
    if arguments.detached {
        nix::unistd::setsid()?;
    }
    let folder = arguments.place.folder();
    let former = folder.last();
    let Some(_held) = folder.hold_soon().await? else {
        let pid = folder.last().map_or(0, |running| running.pid);
        say(format!("already running (pid {pid}); ./dev down stops it"));
        return Ok(ExitCode::FAILURE);
    };
    let ports = PortPlan::new(&arguments)?;
    folder.write(&Running { pid: std::process::id(), parts: plan::parts(&arguments, &ports) })?;
    let mut stop = StopSignals::new()?;

    let patience = former.map_or(Duration::ZERO, |_| FORMER_STACK_PATIENCE);
    let stack = tokio::select! {
        started = start(&arguments, &ports, &folder, patience) => started.inspect_err(|_| folder.forget())?,
        () = stop.received() => {
            say("stopped before it was ready");
            folder.forget();
            return Ok(ExitCode::FAILURE);
        }
    };
    say(ready_line(&ports, &folder));

    let supervision = Supervision::start(Arc::clone(&stack));
    stop.received().await;
    say("stopping: services, Kafka, Postgres (again to stop at once)");
    tokio::select! {
        () = async { supervision.end().await; stack.stop().await } => say("stopped"),
        () = stop.received() => say("stopped at once"),
    }
    folder.forget();
    Ok(ExitCode::SUCCESS)
}

async fn start(
    arguments: &UpArguments,
    ports: &PortPlan,
    folder: &Folder,
    patience: Duration,
) -> anyhow::Result<Arc<Stack>> {
    let mut parts = plan::parts(arguments, ports);
    ports::check_free(&parts, patience).await?;
    folder.remove_part_logs();
    let options = plan::options(arguments, ports, folder).await?;
    if !matches!(options.broker, BrokerSource::Kafka(_)) {
        parts.retain(|part| part.name != "kafka");
        folder.write(&Running { pid: std::process::id(), parts })?;
    }
    Ok(Arc::new(Stack::start(options).await?))
}

fn ready_line(ports: &PortPlan, folder: &Folder) -> String {
    let services: Vec<String> = SERVICES
        .iter()
        .zip(ports.services)
        .map(|(name, ports)| format!("{name} http://localhost:{}", ports.public))
        .collect();
    format!("{READY} {} (logs: {})", services.join(", "), folder.logs().display())
}

/// Ctrl-C, SIGTERM, and the end of the terminal.
struct StopSignals([Signal; 3]);

impl StopSignals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn received(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
