//! A Kafka broker of our own: Apache Kafka in KRaft mode, one combined node, from Maven Central's jars.

mod class_archive;
pub mod distribution;
mod java;
mod maven;
mod node;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, Producer},
};

use crate::{
    port::free_port,
    process::{ChildProcess, Signal},
    scratch::ScratchDir,
    wait::until_ok,
};
use distribution::Distribution;
use node::Node;

const READY_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// What the JVM of a broker is tuned for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tuning {
    /// For a test, or to try something: it starts quickly.
    #[default]
    Quick,
    /// For a measurement: the JVM compiles again what is used most, and collects garbage without stopping the broker. Until all is
    /// compiled, which takes half a minute under load, that costs more than it gives.
    Steady,
}

/// How to run a broker.
#[derive(Debug, Clone, Default)]
pub struct KafkaOptions {
    /// Where the data is kept; `None`: a throw-away folder, removed when the [`Kafka`] is dropped.
    pub data_dir: Option<PathBuf>,
    /// The port on 127.0.0.1; `None`: a free one.
    pub port: Option<u16>,
    /// What its JVM is tuned for.
    pub tuning: Tuning,
    /// Broker settings that are added to ours or replace them.
    pub properties: Vec<(String, String)>,
    /// Where the broker's log goes; `None`: into the throw-away folder, or beside the data.
    pub log: Option<PathBuf>,
}

/// A running broker; it is killed when this is dropped.
#[derive(Debug)]
pub struct Kafka {
    distribution: Distribution,
    tuning: Tuning,
    node: Node,
    log: PathBuf,
    process: Mutex<Option<ChildProcess>>,
    _scratch: Option<ScratchDir>,
}

impl Kafka {
    /// Fetches Kafka if this is the first time, formats the data folder if it is new, starts the broker
    /// and waits until it serves.
    pub async fn start(options: KafkaOptions) -> anyhow::Result<Self> {
        let distribution = distribution::prepare().await?;
        Self::start_from(distribution, options).await
    }

    async fn start_from(distribution: Distribution, options: KafkaOptions) -> anyhow::Result<Self> {
        let port = options.port.map_or_else(free_port, Ok)?;
        let scratch = options.data_dir.is_none().then(|| ScratchDir::new("kafka")).transpose()?;
        let home = match (&scratch, &options.data_dir) {
            (Some(scratch), _) => scratch.path().to_owned(),
            (None, Some(dir)) => dir.parent().unwrap_or(Path::new("/")).to_owned(),
            (None, None) => anyhow::bail!("neither a data folder nor a throw-away one"),
        };
        let kafka = Self {
            distribution,
            tuning: options.tuning,
            node: Node {
                data_dir: options.data_dir.unwrap_or_else(|| home.join("data")),
                port,
                controller_port: free_port()?,
                properties: options.properties,
            },
            log: options.log.unwrap_or_else(|| home.join("kafka.log")),
            process: Mutex::new(None),
            _scratch: scratch,
        };
        kafka.launch().await?;
        Ok(kafka)
    }

    /// The bootstrap servers: `127.0.0.1:port`.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.node.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.node.port
    }

    /// The broker's log file.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The broker's process id; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.current().map(|process| process.pid())
    }

    /// One of Kafka's own command-line tools, such as `org.apache.kafka.tools.TopicCommand`, told where this broker is.
    pub fn tool(&self, class: &str) -> Command {
        let mut command = self.distribution.tool(class);
        command.args(["--bootstrap-server", &self.brokers()]);
        command
    }

    /// A controlled shutdown.
    pub async fn stop(&self) {
        if let Some(process) = self.take() {
            process.stop(Signal::SIGTERM, STOP_DEADLINE).await;
        }
    }

    /// SIGKILL; returns once it is gone.
    pub async fn kill(&self) {
        if let Some(process) = self.take() {
            process.kill().await;
        }
    }

    /// Starts it again, on the same port and data; a running broker is stopped first.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop().await;
        self.launch().await
    }

    /// Waits until the broker ends by itself or by a signal. Returns at once when it was stopped.
    pub async fn exited(&self) -> ExitStatus {
        match self.current() {
            Some(process) => process.exited().await,
            None => ExitStatus::default(),
        }
    }

    async fn launch(&self) -> anyhow::Result<()> {
        let properties = self.node.prepare(&self.distribution)?;
        let mut command = self.distribution.java(self.tuning, &["kafka.Kafka"]);
        command.arg(properties);
        let process = ChildProcess::spawn("kafka", command, &self.log, Signal::SIGKILL)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.clone());
        let brokers = self.brokers();
        tokio::select! {
            serves = wait_until_ready(&brokers) => serves
                .with_context(|| format!("Kafka on port {} does not answer; see {}", self.port(), self.log.display())),
            _ = process.exited() => process.check_running(),
        }
    }

    fn current(&self) -> Option<ChildProcess> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self) -> Option<ChildProcess> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Waits until the broker answers a metadata request and every partition it holds has a leader.
pub async fn wait_until_ready(brokers: &str) -> anyhow::Result<()> {
    until_ok(READY_DEADLINE, || async {
        tokio::net::TcpStream::connect(brokers.split(',').next().unwrap_or(brokers)).await?;
        let brokers = brokers.to_owned();
        tokio::task::spawn_blocking(move || check_metadata(&brokers)).await?
    })
    .await
}

fn check_metadata(brokers: &str) -> anyhow::Result<()> {
    let client: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "100")
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg)
        .create()?;
    let metadata = client.client().fetch_metadata(None, Duration::from_secs(2))?;
    anyhow::ensure!(!metadata.brokers().is_empty(), "no broker is registered");
    let leaderless =
        metadata.topics().iter().find(|topic| topic.partitions().iter().any(|it| it.leader() < 0));
    match leaderless {
        None => Ok(()),
        Some(topic) => anyhow::bail!("topic {} has a partition without a leader", topic.name()),
    }
}
