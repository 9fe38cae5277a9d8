//! A Postgres server of our own, from the machine's binaries.

pub mod account;
mod binaries;
mod cluster;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;

use crate::{
    database::Database,
    port::free_port,
    process::{ChildProcess, Signal},
    schema,
    scratch::ScratchDir,
    wait::until_ok,
};
use cluster::Cluster;

const READY_DEADLINE: Duration = Duration::from_secs(30);
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// How to run a server.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Where the data is kept; `None`: a throw-away folder, removed when the [`Postgres`] is dropped.
    pub data_dir: Option<PathBuf>,
    /// The port on 127.0.0.1; `None`: a free one.
    pub port: Option<u16>,
    /// Whether commits survive a crash of the machine. Without it everything is faster, and commits
    /// still survive a `kill -9` of the server.
    pub durable: bool,
    /// Where the server's log goes; `None`: into the throw-away folder, or beside the data.
    pub log: Option<PathBuf>,
    /// Settings beside those that are always made: name, value.
    pub settings: Vec<(&'static str, &'static str)>,
}

/// A running server; it is stopped when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    cluster: Cluster,
    port: u16,
    durable: bool,
    log: PathBuf,
    settings: Vec<(&'static str, &'static str)>,
    process: Mutex<Option<ChildProcess>>,
    template: OnceCell<Database>,
    _scratch: Option<ScratchDir>,
}

impl Postgres {
    /// Creates the data folder if need be, starts the server and waits until it answers.
    pub async fn start(options: PostgresOptions) -> anyhow::Result<Self> {
        let port = options.port.map_or_else(free_port, Ok)?;
        let scratch = options.data_dir.is_none().then(|| ScratchDir::new("postgres")).transpose()?;
        let home = match (&scratch, &options.data_dir) {
            (Some(scratch), _) => scratch.path().to_owned(),
            (None, Some(dir)) => dir.parent().unwrap_or(Path::new("/")).to_owned(),
            (None, None) => anyhow::bail!("neither a data folder nor a throw-away one"),
        };
        let data_dir = options.data_dir.unwrap_or_else(|| home.join("data"));
        let server = Self {
            cluster: Cluster::find(data_dir)?,
            port,
            durable: options.durable,
            log: options.log.unwrap_or_else(|| home.join("postgres.log")),
            settings: options.settings,
            process: Mutex::new(None),
            template: OnceCell::new(),
            _scratch: scratch,
        };
        server.cluster.create_if_absent(&server.log, server.durable).await?;
        server.launch().await?;
        Ok(server)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address it listens on: loopback only.
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The superuser's URL of the database `postgres`.
    pub fn admin_url(&self) -> String {
        format!("postgres://postgres@{}:{}/postgres", self.host(), self.port)
    }

    /// Where one of Postgres's programs is, such as `psql`, of the same version as the server.
    pub fn program(&self, name: &str) -> PathBuf {
        self.cluster.program(name)
    }

    /// The server's log file.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The postmaster's process id; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.current().map(|process| process.pid())
    }

    /// Creates the database `name` with the services' schemas and roles, empty.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<Database> {
        Database::create(&self.admin_url(), name).await
    }

    /// Creates the database `name` with all migrations applied, as a copy of one that is migrated once per server.
    pub async fn create_migrated_database(&self, name: &str) -> anyhow::Result<Database> {
        let template = self
            .template
            .get_or_try_init(|| async {
                let template = self.create_database("mileage_template").await?;
                schema::migrate(&template).await?;
                anyhow::Ok(template)
            })
            .await?;
        Database::copy(template, &self.admin_url(), name).await
    }

    /// Fast shutdown: transactions are rolled back, clients disconnected, the data written.
    pub async fn stop(&self) {
        if let Some(process) = self.take() {
            process.signal(Signal::SIGINT);
            if tokio::time::timeout(STOP_DEADLINE, process.exited()).await.is_err() {
                cluster::kill_all(process).await;
            }
        }
    }

    /// SIGKILL to the postmaster and its children; returns once they are gone.
    pub async fn kill(&self) {
        if let Some(process) = self.take() {
            cluster::kill_all(process).await;
        }
    }

    /// Starts it again, on the same port and data; a running server is stopped first.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop().await;
        self.launch().await
    }

    /// Waits until the server ends by itself or by a signal. Returns at once when it was stopped.
    pub async fn exited(&self) -> ExitStatus {
        match self.current() {
            Some(process) => process.exited().await,
            None => ExitStatus::default(),
        }
    }

    async fn launch(&self) -> anyhow::Result<()> {
        self.cluster.wait_for_former_server().await?;
        let process = ChildProcess::spawn("postgres", self.command(), &self.log, Signal::SIGQUIT)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.clone());
        tokio::select! {
            connected = until_ok(READY_DEADLINE, || answers(self.admin_url())) => {
                connected.with_context(|| format!("Postgres on port {} does not answer; see {}", self.port, self.log.display()))
            }
            _ = process.exited() => process.check_running(),
        }
    }

    fn command(&self) -> Command {
        let mut settings = vec![
            ("listen_addresses", self.host().to_owned()),
            ("port", self.port.to_string()),
            ("unix_socket_directories", String::new()),
            ("max_connections", if self.durable { "200" } else { "300" }.to_owned()),
            // Leaves nothing in /dev/shm when killed.
            ("dynamic_shared_memory_type", "mmap".to_owned()),
            ("log_line_prefix", "%m [%p] %u@%d ".to_owned()),
            // The text of a failing statement may hold personal data.
            ("log_min_error_statement", "panic".to_owned()),
        ];
        if self.durable {
            settings.push(("shared_buffers", "512MB".to_owned()));
            settings.push(("max_wal_size", "4GB".to_owned()));
        } else {
            for off in ["fsync", "full_page_writes"] {
                settings.push((off, "off".to_owned()));
            }
        }
        let mut command = self.cluster.command("postgres");
        command.arg("-D").arg(self.cluster.data_dir());
        let more = self.settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
        for (name, value) in settings.into_iter().chain(more) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
    }

    fn current(&self) -> Option<ChildProcess> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self) -> Option<ChildProcess> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Postgres {
    /// An immediate shutdown: what was committed is there again after the next start.
    fn drop(&mut self) {
        if let Some(process) = self.take() {
            process.signal(Signal::SIGQUIT);
            process.wait_blocking(Duration::from_secs(5));
        }
    }
}

/// Connects and hangs up, to see whether the server answers.
async fn answers(url: String) -> sqlx::Result<()> {
    PgConnection::connect(&url).await?.close().await
}
