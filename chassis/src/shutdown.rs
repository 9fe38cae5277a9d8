//! Graceful shutdown, in two stages: the first signal asks, the second insists.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::Runtime;
use crate::http::Servers;

/// SIGTERM and SIGINT.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
        })
    }

    /// Waits for the next signal and says which it was.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Stops the process: not ready → drain → requests → detached work → background tasks → pool.
///
/// Requests and the work they left behind have half of the grace: then the connections are cut, and the background
/// tasks are told to stop in any case.
///
/// # Errors
/// When a second signal arrives or the grace is over before that is done; the error says what was not.
pub(crate) async fn shut_down(
    runtime: &Runtime,
    servers: &Servers,
    signals: &mut Signals,
    with_drain: bool,
) -> anyhow::Result<()> {
    let drain = Duration::from_millis(if with_drain { runtime.settings.drain_ms } else { 0 });
    let grace = Duration::from_millis(runtime.settings.shutdown_grace_ms);
    runtime.lifecycle.drain();
    tokio::select! {
        biased;
        signal = signals.next() => bail!("stopped at once by a second {signal}{}", unfinished(runtime, servers)),
        () = finish(runtime, servers, drain, grace / 2) => (),
        () = tokio::time::sleep(drain + grace) => {
            bail!("not finished after {} ms of grace{}", grace.as_millis(), unfinished(runtime, servers))
        }
    }
    tracing::info!("stopped");
    Ok(())
}

async fn finish(runtime: &Runtime, servers: &Servers, drain: Duration, patience: Duration) {
    tokio::time::sleep(drain).await;
    let requests = async {
        servers.stop().await;
        runtime.supervisor.finish_detached().await;
    };
    if timeout(patience, requests).await.is_err() {
        let (connections, detached) = (servers.connection_count(), runtime.supervisor.detached_count());
        tracing::warn!(connections, detached, "requests take too long: the connections are cut");
        servers.cut();
        runtime.supervisor.cancel();
    }
    runtime.supervisor.stop().await;
    runtime.pool.close().await;
}

/// `; not finished: 2 HTTP connection(s), task relay`
fn unfinished(runtime: &Runtime, servers: &Servers) -> String {
    let mut names = runtime.supervisor.unfinished();
    let connections = servers.connection_count();
    if connections > 0 {
        names.insert(0, format!("{connections} HTTP connection(s)"));
    }
    if names.is_empty() {
        names.push("closing the connections to Postgres".to_owned());
    }
    format!("; not finished: {}", names.join(", "))
}
