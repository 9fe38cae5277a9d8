//! `down`: stops the supervisor and waits until it and its parts are gone.

use std::{
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use local_stack::report::{say, seconds};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{ports, running::Folder};

/// Services, Kafka and Postgres each have their own deadline within this.
const DEADLINE: Duration = Duration::from_secs(90);

/// How long the folder may be held by a process that is not known.
const STRANGER_DEADLINE: Duration = Duration::from_secs(3);

/// Parts die with a supervisor that was killed, but not in the same instant.
const LEFTOVER_DEADLINE: Duration = Duration::from_secs(15);

pub(super) async fn run(folder: &Folder) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    match folder.running()? {
        Some(running) => {
            stop(running.pid, folder).await?;
            say(format!("everything is stopped ({})", seconds(start.elapsed())));
        }
        None => {
            if let Some(killed) = folder.last() {
                ports::check_free(&killed.parts, LEFTOVER_DEADLINE).await?;
                folder.forget();
            }
            say("nothing is running");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn stop(pid: u32, folder: &Folder) -> anyhow::Result<()> {
    let process = Pid::from_raw(pid.cast_signed());
    let mut signal = Signal::SIGTERM;
    let mut give_up = Instant::now() + DEADLINE;
    if is_ours(pid) {
        kill(process, signal)?;
    } else {
        // It is just ending, or just starting and has not said its name yet.
        give_up = Instant::now() + STRANGER_DEADLINE;
    }
    while folder.running()?.is_some() || is_ours(pid) {
        if Instant::now() >= give_up {
            anyhow::ensure!(is_ours(pid), "a stack is running, but stack.json does not name its process");
            anyhow::ensure!(signal == Signal::SIGTERM, "process {pid} cannot be stopped");
            say(format!("process {pid} does not end; killing it"));
            signal = Signal::SIGKILL;
            give_up += LEFTOVER_DEADLINE;
            let _ = kill(process, signal);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Whether the process runs this program: a pid may have been given to another meanwhile.
fn is_ours(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == env!("CARGO_BIN_NAME"))
        && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty())
}
