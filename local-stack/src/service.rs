//! One service as a process: its binary, its settings and its log.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;

use crate::{
    process::{ChildProcess, Signal},
    wait::until_ok,
};

const READY_DEADLINE: Duration = Duration::from_secs(30);

/// Settings that a service must get from us or not at all, never from the shell that started us.
const OWN_SETTINGS: [&str; 8] = [
    "LISTEN",
    "INTERNAL_LISTEN",
    "DATABASE_URL",
    "MIGRATION_DATABASE_URL",
    "KAFKA_BROKERS",
    "TOPIC_PREFIX",
    "POINT_INTERNAL_URL",
    "SMS_GATEWAY",
];

/// How to run a service.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// The binary's name; also used in messages.
    pub name: String,
    /// The port of its public listener on 127.0.0.1.
    pub port: u16,
    /// The port of its internal listener on 127.0.0.1.
    pub internal_port: u16,
    /// Its settings besides `LISTEN` and `INTERNAL_LISTEN`.
    pub env: Vec<(String, String)>,
    /// Arguments of its command line.
    pub args: Vec<String>,
    /// The file its output is appended to.
    pub log: PathBuf,
}

/// A running service; it is killed when this is dropped.
#[derive(Debug)]
pub struct ServiceProcess {
    options: ServiceOptions,
    binary: PathBuf,
    client: reqwest::Client,
    process: Mutex<Option<ChildProcess>>,
}

impl ServiceProcess {
    /// Starts the service; [`wait_ready`](Self::wait_ready) says when it serves.
    pub fn spawn(options: ServiceOptions) -> anyhow::Result<Self> {
        let service = Self {
            binary: find_binary(&options.name)?,
            options,
            client: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?,
            process: Mutex::new(None),
        };
        service.launch()?;
        Ok(service)
    }

    /// The binary's name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// `http://127.0.0.1:<public port>`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.options.port)
    }

    /// `http://127.0.0.1:<internal port>`
    pub fn internal_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.options.internal_port)
    }

    /// Waits until `/readyz` of the internal listener answers with success. Fails at once when the process ends.
    pub async fn wait_ready(&self) -> anyhow::Result<()> {
        let ready = || async {
            let answer = self.client.get(format!("{}/readyz", self.internal_url())).send().await?;
            anyhow::ensure!(answer.status().is_success(), "/readyz answers {}", answer.status());
            Ok(())
        };
        self.wait_for("ready", ready).await
    }

    /// Waits until it has been given partitions to read.
    pub async fn wait_until_consuming(&self) -> anyhow::Result<()> {
        let consuming = || async {
            anyhow::ensure!(self.partitions_assigned().await? > 0, "no partition is assigned");
            Ok(())
        };
        self.wait_for("consuming", consuming).await
    }

    /// How many partitions it has been given to read.
    pub async fn partitions_assigned(&self) -> anyhow::Result<u64> {
        let metrics =
            self.client.get(format!("{}/metrics", self.internal_url())).send().await?.text().await?;
        let assigned = metrics.lines().find_map(|line| line.strip_prefix("consumer_partitions_assigned "));
        assigned.map_or(Ok(0), |count| count.parse().context("not a number of partitions"))
    }

    async fn wait_for<F>(&self, what: &str, condition: impl FnMut() -> F) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let process = self.current().with_context(|| format!("{} is not running", self.name()))?;
        let log = self.options.log.display();
        tokio::select! {
            met = until_ok(READY_DEADLINE, condition) => met.with_context(|| format!("{} is not {what}; see {log}", self.name())),
            _ = process.exited() => process.check_running(),
        }
    }

    /// Its process id; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.current().map(|process| process.pid())
    }

    /// Sends a signal, for example SIGSTOP and SIGCONT for a service that hangs.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = self.current() {
            process.signal(signal);
        }
    }

    /// SIGKILL; returns once it is gone.
    pub async fn kill(&self) {
        if let Some(process) = self.take() {
            process.kill().await;
        }
    }

    /// SIGTERM, and its exit status; it is killed when `deadline` passes first. `None` when it was not running.
    pub async fn terminate(&self, deadline: Duration) -> Option<ExitStatus> {
        match self.take() {
            Some(process) => Some(process.stop(Signal::SIGTERM, deadline).await),
            None => None,
        }
    }

    /// Starts it again with the same settings, without waiting until it is ready; a running one is killed first.
    pub async fn start_again(&self) -> anyhow::Result<()> {
        self.kill().await;
        self.launch()
    }

    /// As [`start_again`](Self::start_again), and waits until it is ready.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.start_again().await?;
        self.wait_ready().await
    }

    /// Waits until it ends by itself or by a signal. Returns at once when it was stopped.
    pub async fn exited(&self) -> ExitStatus {
        match self.current() {
            Some(process) => process.exited().await,
            None => ExitStatus::default(),
        }
    }

    /// Everything it has printed, over all restarts.
    pub fn log(&self) -> String {
        read_log(&self.options.log)
    }

    /// Its log file.
    pub fn log_path(&self) -> &Path {
        &self.options.log
    }

    fn launch(&self) -> anyhow::Result<()> {
        let options = &self.options;
        let mut command = Command::new(&self.binary);
        for name in OWN_SETTINGS {
            command.env_remove(name);
        }
        command
            .env("LISTEN", format!("127.0.0.1:{}", options.port))
            .env("INTERNAL_LISTEN", format!("127.0.0.1:{}", options.internal_port))
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .args(&options.args);
        let process = ChildProcess::spawn(&options.name, command, &options.log, Signal::SIGKILL)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(())
    }

    fn current(&self) -> Option<ChildProcess> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self) -> Option<ChildProcess> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What is in a log, as far as it can be read.
pub(crate) fn read_log(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

/// A workspace binary, beside the running one: `target/<profile>/<name>`; tests run in `target/<profile>/deps`.
pub fn find_binary(name: &str) -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe().context("cannot tell where this program is")?;
    exe.ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(name))
        .find(|binary| binary.is_file())
        .with_context(|| format!("the binary {name} is not built: run cargo build --workspace"))
}
