//! The fixed ports must be free before anything is started.

use std::time::{Duration, Instant};

use local_stack::{port::is_free, port_owner::port_owner};

use super::running::Part;

/// Fails with one line that names every port in use and by whom, after waiting for at most `patience`.
pub(super) async fn check_free(parts: &[Part], patience: Duration) -> anyhow::Result<()> {
    let give_up = Instant::now() + patience;
    loop {
        let taken: Vec<&Part> = parts.iter().filter(|part| !is_free(part.port)).collect();
        if taken.is_empty() {
            return Ok(());
        }
        if Instant::now() >= give_up {
            let list: Vec<String> = taken.into_iter().map(describe).collect();
            anyhow::bail!("in use already: {}", list.join(", "));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn describe(part: &Part) -> String {
    let by = port_owner(part.port).map(|owner| format!(" by {owner}")).unwrap_or_default();
    format!("port {} (wanted for {}){by}", part.port, part.name)
}
