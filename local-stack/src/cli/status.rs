//! `status`: what is running and whether it answers.

use std::{process::ExitCode, time::Duration};

use local_stack::report::say;

use super::running::Folder;

/// As `systemctl status` has it.
const NOT_RUNNING: u8 = 3;

pub(super) async fn run(folder: &Folder) -> anyhow::Result<ExitCode> {
    let Some(running) = folder.running()? else {
        say("not running");
        return Ok(ExitCode::from(NOT_RUNNING));
    };
    say(format!("running (pid {})", running.pid));
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
    let mut code = ExitCode::SUCCESS;
    for part in &running.parts {
        let healthy = part.is_healthy(&client).await;
        say(format!(
            "{:<20} 127.0.0.1:{:<5}  {}",
            part.name,
            part.port,
            if healthy { "ready" } else { "NOT READY" }
        ));
        if !healthy {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}
