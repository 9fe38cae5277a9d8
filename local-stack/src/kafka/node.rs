//! The data folder and the settings of one broker.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::distribution::{Distribution, NODE_ID};

/// What makes one broker differ from another.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) data_dir: PathBuf,
    pub(super) port: u16,
    pub(super) controller_port: u16,
    pub(super) properties: Vec<(String, String)>,
}

impl Node {
    /// Formats the data folder if it is new and writes the settings beside it; returns the settings file.
    pub(super) fn prepare(&self, distribution: &Distribution) -> anyhow::Result<PathBuf> {
        if !self.data_dir.join("meta.properties").is_file() {
            distribution.format(&self.data_dir)?;
        }
        let file = self.data_dir.with_extension("properties");
        fs::write(&file, self.settings()).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    /// The text of `server.properties`: small, single, and quick to start and to hand out partitions.
    fn settings(&self) -> String {
        let Self { port, controller_port, .. } = self;
        let fixed = [
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", NODE_ID.to_owned()),
            ("controller.quorum.voters", format!("{NODE_ID}@127.0.0.1:{controller_port}")),
            ("listeners", format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}")),
            ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned()),
            ("log.dirs", self.data_dir.display().to_string()),
        ];
        let small = SMALL.map(|(name, value)| (name, value.to_owned()));
        let own = self.properties.iter().map(|(name, value)| (name.as_str(), value.clone()));

        // The last of two settings with one name counts.
        fixed.into_iter().chain(small).chain(own).fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name}={value}");
            text
        })
    }
}

const SMALL: [(&str, &str); 20] = [
    ("auto.create.topics.enable", "false"),
    ("offsets.topic.num.partitions", "4"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    ("broker.heartbeat.interval.ms", "500"),
    // A killed broker is let in again only after its former session has ended.
    ("broker.session.timeout.ms", "3000"),
    ("controller.quorum.election.timeout.ms", "200"),
    ("controller.quorum.election.backoff.max.ms", "200"),
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
    ("background.threads", "2"),
    ("log.cleaner.threads", "1"),
    ("log.cleaner.dedupe.buffer.size", "16777216"),
    ("metadata.log.max.record.bytes.between.snapshots", "4194304"),
];

/// Writes the identity of a new broker into `data_dir`.
pub(super) fn write_identity(data_dir: &Path, cluster_id: &str, directory_id: &str) -> anyhow::Result<()> {
    let text =
        format!("version=1\nnode.id={NODE_ID}\ncluster.id={cluster_id}\ndirectory.id={directory_id}\n");
    // Written last and renamed into place: its presence says that the folder is formatted.
    let draft = data_dir.join("meta.properties.draft");
    fs::write(&draft, text)
        .and_then(|()| fs::rename(&draft, data_dir.join("meta.properties")))
        .with_context(|| format!("cannot format {}", data_dir.display()))
}
