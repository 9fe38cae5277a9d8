//! A data folder of Postgres and the processes that work on it.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    account::{self, Account},
    binaries,
};
use crate::{process::ChildProcess, wait::until_ok};

/// How long a server that lost its supervisor may take to end.
const FORMER_SERVER_DEADLINE: Duration = Duration::from_secs(15);

/// The binaries, the data folder and who owns it.
#[derive(Debug)]
pub(super) struct Cluster {
    binaries: PathBuf,
    data_dir: PathBuf,
    account: Option<Account>,
}

impl Cluster {
    pub(super) fn find(data_dir: PathBuf) -> anyhow::Result<Self> {
        Ok(Self { binaries: binaries::find()?, data_dir, account: account::unprivileged()? })
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where one of Postgres's programs is.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// One of Postgres's programs, as the right user.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.program(program));
        command.current_dir("/");
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        if let Some(account) = self.account {
            command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
        }
        command
    }

    /// Runs `initdb` unless the folder already holds a cluster. A half-made one is made anew.
    pub(super) async fn create_if_absent(&self, log: &Path, durable: bool) -> anyhow::Result<()> {
        let made = self.data_dir.join("PG_VERSION").is_file() && !self.unfinished().exists();
        if made {
            return Ok(());
        }
        self.prepare_folder()?;
        let mut initdb = self.command("initdb");
        initdb.arg("-D").arg(&self.data_dir).args([
            "-U",
            "postgres",
            "--auth=trust",
            "-E",
            "UTF8",
            "--locale=C",
        ]);
        if !durable {
            initdb.arg("-N");
        }
        let process = ChildProcess::spawn("initdb", initdb, log, Signal::SIGKILL)?;
        if !process.exited().await.success() {
            process.check_running()?;
        }
        fs::remove_file(self.unfinished()).context("cannot remove initdb's marker")
    }

    /// Exists beside the data while `initdb` works on it.
    fn unfinished(&self) -> PathBuf {
        self.data_dir.with_extension("unfinished")
    }

    fn prepare_folder(&self) -> anyhow::Result<()> {
        let dir = &self.data_dir;
        let describe = || format!("cannot prepare {}", dir.display());
        if self.unfinished().exists() {
            fs::remove_dir_all(dir).with_context(describe)?;
        }
        fs::create_dir_all(dir).with_context(describe)?;
        anyhow::ensure!(
            fs::read_dir(dir).with_context(describe)?.next().is_none(),
            "{} is not empty and holds no Postgres data",
            dir.display()
        );
        fs::write(self.unfinished(), "").with_context(describe)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).with_context(describe)?;
        if let Some(account) = self.account {
            chown(dir, Some(account.uid.as_raw()), Some(account.gid.as_raw())).with_context(describe)?;
        }
        Ok(())
    }

    /// Waits until the server of a killed supervisor has left the data.
    pub(super) async fn wait_for_former_server(&self) -> anyhow::Result<()> {
        until_ok(FORMER_SERVER_DEADLINE, || async {
            match self.running_server() {
                None => Ok(()),
                Some(pid) => {
                    Err(anyhow::anyhow!("{} is in use by Postgres with pid {pid}", self.data_dir.display()))
                }
            }
        })
        .await
    }

    /// The live process that `postmaster.pid` names, if it is Postgres and works on this folder.
    fn running_server(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data_dir.join("postmaster.pid")).ok()?;
        let pid: u32 = text.lines().next()?.trim().parse().ok()?;
        let works_here =
            fs::metadata(format!("/proc/{pid}/cwd")).ok()?.ino() == fs::metadata(&self.data_dir).ok()?.ino();
        works_here.then_some(pid)
    }
}

/// SIGKILL to a postmaster and its children; they are collected while it is frozen, so that none is missed.
pub(super) async fn kill_all(postmaster: ChildProcess) {
    postmaster.signal(Signal::SIGSTOP);
    let children = children_of(postmaster.pid());
    postmaster.signal(Signal::SIGKILL);
    for child in &children {
        let _ = kill(*child, Signal::SIGKILL);
    }
    postmaster.exited().await;
    let _ = until_ok(Duration::from_secs(5), || async {
        if children.iter().any(|child| is_alive(*child)) { Err(()) } else { Ok(()) }
    })
    .await;
}

fn children_of(parent: u32) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| stat(*pid).is_some_and(|(_, ppid)| ppid == parent))
        .map(Pid::from_raw)
        .collect()
}

/// Orphans may stay zombies for ever where pid 1 does not reap; those hold nothing any more.
fn is_alive(pid: Pid) -> bool {
    stat(pid.as_raw()).is_some_and(|(state, _)| state != 'Z')
}

/// State and parent of a process, the two fields after the parenthesised name in `/proc/<pid>/stat`.
fn stat(pid: i32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
