//! `up -d`: starts a process that stays, shows what it says until all is ready, and returns.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::Context;
use local_stack::{log_follower::LogFollower, report::say};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{UpArguments, running::Running, up::READY};

pub(super) async fn run(arguments: &UpArguments) -> anyhow::Result<ExitCode> {
    let folder = arguments.place.folder();
    if let Some(running) = folder.running()? {
        return already_running(&running).await;
    }
    folder.create()?;
    let log = folder.stack_log();
    let child = spawn_itself(&log)?;
    let pid = Pid::from_raw(child.id().cast_signed());
    tokio::select! {
        result = follow(child, &log) => result,
        _ = tokio::signal::ctrl_c() => {
            let _ = kill(pid, Signal::SIGTERM);
            say("interrupted; stopping what was started");
            Ok(ExitCode::from(130))
        }
    }
}

async fn already_running(running: &Running) -> anyhow::Result<ExitCode> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
    for part in &running.parts {
        if !part.is_healthy(&client).await {
            say(format!("already running (pid {}), but {} does not answer", running.pid, part.name));
            return Ok(ExitCode::FAILURE);
        }
    }
    say(format!("already running (pid {})", running.pid));
    Ok(ExitCode::SUCCESS)
}

fn spawn_itself(log: &Path) -> anyhow::Result<Child> {
    let output = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--detached")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("cannot start the process that stays")
}

/// Prints the log as it grows, until it says that all is ready or the process ends.
async fn follow(mut child: Child, log: &Path) -> anyhow::Result<ExitCode> {
    let mut log = LogFollower::open(log)?;
    loop {
        let ended = child.try_wait()?;
        for line in log.new_lines()? {
            say(&line);
            if line.starts_with(READY) {
                return Ok(ExitCode::SUCCESS);
            }
        }
        if ended.is_some() {
            return Ok(ExitCode::FAILURE);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
