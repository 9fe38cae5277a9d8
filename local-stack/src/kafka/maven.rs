//! Lets Maven resolve Kafka's class path.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::Context;

use crate::{
    log_follower::LogFollower,
    process::{ChildProcess, Signal, log_tail},
    report::say,
};

/// How often its log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Writes the class path of the `pom.xml` in `work` to the file `class_path`. Maven is killed when this is dropped.
pub(super) async fn resolve(work: &Path, class_path: &Path) -> anyhow::Result<()> {
    say("kafka: resolving Apache Kafka from Maven Central (about 70 MB, once)");
    let log = work.join("maven.log");
    let _ = fs::remove_file(&log);
    let mut command = Command::new("mvn");
    command
        .args(["-B", "-f"])
        .arg(work.join("pom.xml"))
        .arg("dependency:build-classpath")
        .arg(format!("-Dmdep.outputFile={}", class_path.display()));
    let maven = ChildProcess::spawn("mvn", command, &log, Signal::SIGKILL)
        .context("Kafka is resolved by Maven, and there is no mvn (package maven)")?;
    let mut output = LogFollower::open(&log)?;
    let mut complaints = Vec::new();
    loop {
        // Asked before the log is read: after the end nothing more is written.
        let ended = maven.exit_status();
        for line in output.new_lines()? {
            match line.split_once("Downloaded from ") {
                Some((_, what)) if what.contains(".jar ") => say(format!("kafka: {}", file_name(what))),
                _ if line.contains("[ERROR]") => complaints.push(line),
                _ => {}
            }
        }
        match ended {
            None => tokio::time::sleep(LOOK_EVERY).await,
            Some(status) if status.success() => return Ok(()),
            Some(status) if complaints.is_empty() => {
                anyhow::bail!("Maven could not resolve Kafka ({status}):\n{}", log_tail(&log, 0))
            }
            Some(status) => {
                anyhow::bail!("Maven could not resolve Kafka ({status}):\n{}", complaints.join("\n"))
            }
        }
    }
}

/// `a.jar (1.2 MB at 3 MB/s)` of `central: https://…/a.jar (1.2 MB at 3 MB/s)`.
fn file_name(downloaded: &str) -> &str {
    let end_of_url = downloaded.find(" (").unwrap_or(downloaded.len());
    downloaded[..end_of_url].rfind('/').map_or(downloaded, |slash| &downloaded[slash + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_downloaded_file_is_named() {
        let line = "central: https://repo.maven.apache.org/maven2/a/1/a-1.jar (1.2 MB at 3.0 MB/s)";
        assert_eq!(file_name(line), "a-1.jar (1.2 MB at 3.0 MB/s)");
    }
}
