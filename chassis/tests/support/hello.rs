//! The example service `hello` as a process, on a real Postgres.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use local_stack::port::free_port;
use local_stack::postgres::{Postgres, PostgresOptions};
use local_stack::process::{ChildProcess, Signal};
use local_stack::scratch::ScratchDir;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Answer, DEADLINE, ask, until};

/// Cargo builds the examples of a crate before it runs its tests.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples/hello")
}

/// The example service `hello` as a process.
pub struct Hello {
    pub public: SocketAddr,
    pub internal: SocketAddr,
    pub process: ChildProcess,
    log: PathBuf,
    _scratch: ScratchDir,
}

impl Hello {
    pub fn start(database_url: &str, arguments: &[&str]) -> Self {
        let scratch = ScratchDir::new("hello").unwrap();
        let log = scratch.path().join("log");
        let public = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let internal = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let mut command = Command::new(program());
        command
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("LISTEN", public.to_string())
            .env("INTERNAL_LISTEN", internal.to_string())
            .args(arguments);
        let process = ChildProcess::spawn("hello", command, &log, Signal::SIGKILL).unwrap();
        Self { public, internal, process, log, _scratch: scratch }
    }

    pub async fn start_ready(database_url: &str, arguments: &[&str]) -> Self {
        let hello = Self::start(database_url, arguments);
        hello.until_status("/readyz", 200).await;
        hello
    }

    pub async fn until_status(&self, path: &str, status: u16) {
        until(&format!("{path} answers {status}"), async || {
            self.process.check_running().unwrap();
            TcpStream::connect(self.public).await.is_ok() && self.get(path).await.status == status
        })
        .await;
    }

    pub async fn get(&self, path: &str) -> Answer {
        ask(self.public, &format!("GET {path}"), &[]).await
    }

    pub async fn exit_code(&self) -> Option<i32> {
        timeout(DEADLINE, self.process.exited()).await.expect("it does not end").code()
    }

    /// Waits until the metrics have this line.
    pub async fn until_metric(&self, line: &str) {
        until(line, async || {
            ask(self.internal, "GET /metrics", &[]).await.body.lines().any(|each| each == line)
        })
        .await;
    }

    /// Waits until so many public connections are open.
    pub async fn until_open(&self, connections: usize) {
        self.until_metric(&format!(r#"http_connections_open{{listener="public"}} {connections}"#)).await;
    }

    pub async fn assert_cut_but_stopped(&self) {
        assert_eq!(self.exit_code().await, Some(0), "{}", self.log());
        for part in ["the connections are cut", "ender was told to stop"] {
            assert!(self.log().contains(part), "{part} is not in {}", self.log());
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

pub async fn postgres() -> Postgres {
    Postgres::start(PostgresOptions::default()).await.unwrap()
}

pub async fn ask_owned(address: SocketAddr, line: &'static str) -> Answer {
    ask(address, line, &[]).await
}

/// Waits until so many requests are being held.
pub async fn until_counted(hello: &Hello, held: u64) {
    until("a request is held", async || {
        let answer = ask(hello.internal, "GET /held", &[]).await;
        answer.json()["held"].as_u64() == Some(held)
    })
    .await;
}
