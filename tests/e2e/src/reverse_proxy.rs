//! HAProxy in front of the replicas, with the configuration that the compose file uses.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use local_stack::database::SERVICES;
use local_stack::port::free_port;
use local_stack::process::{ChildProcess, Signal};
use local_stack::project;
use local_stack::scratch::ScratchDir;
use local_stack::services::Ports;

use crate::client::Client;
use crate::wait::eventually;

/// Where HAProxy listens.
#[derive(Debug)]
pub struct ReverseProxy {
    public: [u16; 4],
    point_internal: u16,
    admin: u16,
    process: Option<ChildProcess>,
    scratch: ScratchDir,
}

impl ReverseProxy {
    /// Chooses its ports, so that services can be told of them; it listens once it is started.
    pub fn reserve() -> anyhow::Result<Self> {
        Ok(Self {
            public: [free_port()?, free_port()?, free_port()?, free_port()?],
            point_internal: free_port()?,
            admin: free_port()?,
            process: None,
            scratch: ScratchDir::new("haproxy")?,
        })
    }

    /// Where member reaches the internal listeners of point.
    #[must_use]
    pub fn point_internal_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.point_internal)
    }

    /// Calls the services through it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::of(self.public.map(|port| format!("http://127.0.0.1:{port}")))
    }

    /// Starts it in front of the first and the second replicas of the services, whether or not these run.
    pub fn start(&mut self, replicas: [[Ports; 4]; 2]) -> anyhow::Result<()> {
        let mut command = Command::new(program());
        command.arg("-f").arg(project::root().join("ops/haproxy.cfg"));
        command.env("PROXY_ADMIN_BIND", local(self.admin));
        for (index, service) in SERVICES.iter().enumerate() {
            let service = service.to_uppercase();
            command.env(format!("{service}_BIND"), local(self.public[index]));
            for (replica, ports) in (1..).zip(&replicas) {
                command.env(format!("{service}_{replica}"), local(ports[index].public));
            }
        }
        command.env("POINT_INTERNAL_BIND", local(self.point_internal));
        for (replica, [_, _, point, _]) in (1..).zip(&replicas) {
            command.env(format!("POINT_INTERNAL_{replica}"), local(point.internal));
        }
        let log = self.scratch.path().join("haproxy.log");
        let process = ChildProcess::spawn("haproxy", command, &log, Signal::SIGKILL)?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until a replica, such as `member-1`, gets requests, or gets none.
    pub async fn until(&self, server: &str, is_up: bool) {
        eventually(&format!("{server} is up: {is_up}"), || async {
            match self.check_is_up(server).await {
                Ok(now) if now == is_up => Ok(()),
                Ok(_) => Err("it is not".to_owned()),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await;
    }

    async fn check_is_up(&self, server: &str) -> anyhow::Result<bool> {
        if let Some(process) = &self.process {
            process.check_running()?;
        }
        let url = format!("http://127.0.0.1:{}/stats;csv", self.admin);
        let text = reqwest::Client::builder().no_proxy().build()?.get(url).send().await?.text().await?;
        let column = |line: &str, name: &str| {
            let header = text.lines().next()?.trim_start_matches("# ");
            let index = header.split(',').position(|it| it == name)?;
            Some(line.split(',').nth(index)?.to_owned())
        };
        // point-1 is there twice: for clients, and for member.
        let mut states = text
            .lines()
            .filter(|line| column(line, "svname").is_some_and(|name| name == server))
            .map(|line| (column(line, "status").unwrap_or_default(), column(line, "check_status")))
            .peekable();
        states.peek().with_context(|| format!("{server} is not in {text}"))?;
        Ok(states.all(|(status, check)| status.starts_with("UP") && check.is_some_and(|it| it == "L7OK")))
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Debian keeps it where only root looks for programs.
fn program() -> PathBuf {
    let debian = PathBuf::from("/usr/sbin/haproxy");
    if debian.exists() { debian } else { PathBuf::from("haproxy") }
}
