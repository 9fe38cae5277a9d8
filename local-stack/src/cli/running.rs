//! The folder of data and logs, and what it says about a stack that runs on it.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

const STACK_LOG: &str = "stack.log";

/// `.data`: the data of Postgres and Kafka, `logs/`, and what is running.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

/// Held by the one process that runs a stack on the folder; the system releases it however that process ends.
#[derive(Debug)]
pub(super) struct Held(#[expect(dead_code, reason = "held for its lock")] Flock<File>);

/// What the running process says about itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Running {
    /// The supervisor.
    pub(super) pid: u32,
    /// What it runs, in the order of starting.
    pub(super) parts: Vec<Part>,
}

/// One server process, or one listener of a service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) port: u16,
    /// Where it says whether it is ready, if it speaks HTTP.
    pub(super) ready_url: Option<String>,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    fn state(&self) -> PathBuf {
        self.0.join("stack.json")
    }

    pub(super) fn create(&self) -> anyhow::Result<()> {
        fs::create_dir_all(self.logs()).with_context(|| format!("cannot create {}", self.logs().display()))
    }

    /// Removes the logs of the parts of the last stack.
    pub(super) fn remove_part_logs(&self) {
        let Ok(entries) = fs::read_dir(self.logs()) else {
            return;
        };
        for entry in entries.flatten().filter(|entry| entry.file_name() != STACK_LOG) {
            let _ = fs::remove_file(entry.path());
        }
    }

    /// What a detached stack says.
    pub(super) fn stack_log(&self) -> PathBuf {
        self.logs().join(STACK_LOG)
    }

    /// `None` while another process runs a stack on this folder.
    pub(super) fn hold(&self) -> anyhow::Result<Option<Held>> {
        self.create()?;
        let path = self.0.join("stack.lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).ok().map(Held))
    }

    /// As [`hold`](Self::hold), but bears with another process that only looks whether the folder is held.
    pub(super) async fn hold_soon(&self) -> anyhow::Result<Option<Held>> {
        for _ in 0..10 {
            if let Some(held) = self.hold()? {
                return Ok(Some(held));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(None)
    }

    /// What the last stack said; it may have been killed since.
    pub(super) fn last(&self) -> Option<Running> {
        serde_json::from_str(&fs::read_to_string(self.state()).ok()?).ok()
    }

    /// What runs now.
    pub(super) fn running(&self) -> anyhow::Result<Option<Running>> {
        if !self.0.is_dir() || self.hold()?.is_some() {
            return Ok(None);
        }
        Ok(Some(self.last().unwrap_or(Running { pid: 0, parts: Vec::new() })))
    }

    pub(super) fn write(&self, running: &Running) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(running)?;
        fs::write(self.state(), text).with_context(|| format!("cannot write {}", self.state().display()))
    }

    pub(super) fn forget(&self) {
        let _ = fs::remove_file(self.state());
    }
}

impl Part {
    /// Whether it answers now.
    pub(super) async fn is_healthy(&self, client: &reqwest::Client) -> bool {
        match &self.ready_url {
            Some(url) => client.get(url).send().await.is_ok_and(|answer| answer.status().is_success()),
            None => tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok(),
        }
    }
}
