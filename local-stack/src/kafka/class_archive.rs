//! A JVM class-data archive for Kafka: it halves the time until the broker serves.

use std::{fs, path::Path, time::Duration};

use super::{Tuning, distribution::Distribution, node::Node, wait_until_ready};
use crate::{
    port::free_port,
    process::{ChildProcess, Signal},
    report::say,
    scratch::ScratchDir,
};

/// The JVM writes the archive while it ends.
const DUMP_DEADLINE: Duration = Duration::from_secs(60);

/// Runs a broker once and has the JVM archive the classes it loaded. A JVM that cannot is no error:
/// Kafka only starts more slowly then.
pub(super) async fn train(distribution: &Distribution) {
    say("kafka: preparing a class archive for quick starts (about 10 s, once)");
    let archive = distribution.class_archive();
    let _ = fs::remove_file(&archive);
    let draft = archive.with_extension("draft");
    let _ = fs::remove_file(&draft);
    let made = run_once(distribution, &draft).await.and_then(|()| Ok(fs::rename(&draft, &archive)?));
    if let Err(error) = made {
        say(format!("kafka: no class archive, starts take longer: {error:#}"));
    }
}

async fn run_once(distribution: &Distribution, draft: &Path) -> anyhow::Result<()> {
    let scratch = ScratchDir::new("kafka-classes")?;
    let node = Node {
        data_dir: scratch.path().join("data"),
        port: free_port()?,
        controller_port: free_port()?,
        properties: Vec::new(),
    };
    let settings = node.prepare(distribution)?;
    let archiving = format!("-XX:ArchiveClassesAtExit={}", draft.display());
    let mut command = distribution.java(Tuning::Quick, &[&archiving, "kafka.Kafka"]);
    command.arg(settings);
    let process =
        ChildProcess::spawn("kafka-classes", command, &scratch.path().join("log"), Signal::SIGKILL)?;
    let brokers = format!("127.0.0.1:{}", node.port);
    tokio::select! {
        ready = wait_until_ready(&brokers) => ready?,
        _ = process.exited() => process.check_running()?,
    }
    process.stop(Signal::SIGTERM, DUMP_DEADLINE).await;
    Ok(())
}
