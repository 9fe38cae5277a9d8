//! Child processes that never outlive the process that started them.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
pub use nix::sys::signal::Signal;
use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::kill,
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::{Pid, getppid},
};
use tokio::sync::watch;

/// How many lines of a log an error message quotes.
const QUOTED_LINES: usize = 15;

/// A running (or ended) child; clones refer to the same one. It is killed when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct ChildProcess(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    pid: Pid,
    log: PathBuf,
    /// The length of the log when this process began to write to it.
    log_start: u64,
    /// Whether the pid was given back to the system; held locked while a signal is sent.
    reaped: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl ChildProcess {
    /// Starts `command` in a process group of its own, with its output appended to `log`.
    /// `death_signal` is what it gets when this process ends, however it ends.
    pub fn spawn(name: &str, mut command: Command, log: &Path, death_signal: Signal) -> anyhow::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = open_log(log)?;
        let log_start = output.metadata().with_context(|| format!("cannot read {}", log.display()))?.len();
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().with_context(|| format!("cannot duplicate {}", log.display()))?)
            .stderr(output)
            .process_group(0);
        die_with_parent(&mut command, death_signal);

        let child = spawn_from_lasting_thread(command).with_context(|| format!("cannot start {program}"))?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let reaped = Arc::new(Mutex::new(false));
        let (sender, exit) = watch::channel(None);
        let flag = Arc::clone(&reaped);
        thread::Builder::new()
            .name(format!("wait-{name}"))
            .spawn(move || reap(child, pid, &flag, &sender))
            .context("cannot start a thread")?;
        Ok(Self(Arc::new(Inner { name: name.to_owned(), pid, log: log.to_owned(), log_start, reaped, exit })))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.pid.as_raw().cast_unsigned()
    }

    /// Sends `signal`; nothing happens when it has already ended.
    pub fn signal(&self, signal: Signal) {
        self.0.signal(signal);
    }

    /// Its exit status, if it has ended.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.0.exit.borrow()
    }

    /// Waits until it has ended.
    pub async fn exited(&self) -> ExitStatus {
        let mut exit = self.0.exit.clone();
        match exit.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(status)) => *status,
            _ => ExitStatus::default(),
        }
    }

    /// Sends `signal` and waits; kills it when `deadline` passes first.
    pub async fn stop(&self, signal: Signal, deadline: Duration) -> ExitStatus {
        self.signal(signal);
        match tokio::time::timeout(deadline, self.exited()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    /// SIGKILL; returns once it is gone.
    pub async fn kill(&self) -> ExitStatus {
        self.signal(Signal::SIGKILL);
        self.exited().await
    }

    /// Blocks until it has ended, at most for `deadline`; for destructors.
    pub fn wait_blocking(&self, deadline: Duration) {
        self.0.wait_blocking(deadline);
    }

    /// An error that says that it ended, with the end of its log; `Ok` while it runs.
    pub fn check_running(&self) -> anyhow::Result<()> {
        match self.exit_status() {
            None => Ok(()),
            Some(status) => anyhow::bail!(
                "{} ended ({status}); the end of {}:\n{}",
                self.0.name,
                self.0.log.display(),
                log_tail(&self.0.log, self.0.log_start)
            ),
        }
    }
}

impl Inner {
    fn signal(&self, signal: Signal) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            let _ = kill(self.pid, signal);
        }
    }

    fn wait_blocking(&self, deadline: Duration) {
        let give_up = Instant::now() + deadline;
        while self.exit.borrow().is_none() && Instant::now() < give_up {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait_blocking(Duration::from_secs(5));
    }
}

/// The last lines of a log file that were written after its first `start` bytes.
pub fn log_tail(log: &Path, start: u64) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let start = usize::try_from(start).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes.get(start..).unwrap_or_default());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
}

fn open_log(log: &Path) -> anyhow::Result<fs::File> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot open {}", log.display()))
}

/// Waits without reaping first, so that no signal can reach a stranger who was given the same pid.
fn reap(mut child: Child, pid: Pid, reaped: &Mutex<bool>, exit: &watch::Sender<Option<ExitStatus>>) {
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
    let status = {
        let mut reaped = reaped.lock().unwrap_or_else(PoisonError::into_inner);
        *reaped = true;
        child.wait().unwrap_or_default()
    };
    exit.send_replace(Some(status));
}

fn die_with_parent(command: &mut Command, signal: Signal) {
    let parent = Pid::this();
    let in_child = move || -> io::Result<()> {
        prctl::set_pdeathsig(signal)?;
        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // It runs after std has changed the user, which would have reset the death signal.
    #[allow(
        unsafe_code,
        reason = "prctl and getppid are async-signal-safe, and nothing is allocated after fork"
    )]
    unsafe {
        command.pre_exec(in_child);
    }
}

type Job = (Command, mpsc::SyncSender<io::Result<Child>>);

/// The death signal fires when the *thread* that spawned the child ends, so one that never ends spawns them all.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let gone = || io::Error::other("the spawning thread is gone");

    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, reply) in jobs {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, answer) = mpsc::sync_channel(1);
    spawner.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
