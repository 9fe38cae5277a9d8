//! Background tasks: supervised ones that are restarted when they fail, and detached ones that shutdown waits for.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::FutureExt;
use metrics::counter;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::chain;
use crate::metrics::TASK_RESTARTS;

/// A task that ran for so long before it failed starts again with the shortest delay.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// Why a background task ended. `?` on any error gives [`TaskError::Failed`].
#[derive(Debug)]
pub enum TaskError {
    /// The process cannot go on: it ends with exit code 1.
    Fatal(anyhow::Error),
    /// The task is restarted.
    Failed(anyhow::Error),
}

impl TaskError {
    /// An error of either kind.
    pub fn new(is_fatal: bool, error: impl Into<anyhow::Error>) -> Self {
        if is_fatal { Self::Fatal(error.into()) } else { Self::Failed(error.into()) }
    }
}

impl<E: Into<anyhow::Error>> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs the background tasks of a process. Clones share the tasks.
#[derive(Clone, Default)]
pub struct Supervisor(Arc<Inner>);

#[derive(Default)]
struct Inner {
    token: CancellationToken,
    tasks: TaskTracker,
    detached: TaskTracker,
    state: Mutex<State>,
    has_failed: Notify,
}

#[derive(Default)]
struct State {
    started: bool,
    waiting: Vec<Box<dyn FnOnce() + Send>>,
    running: BTreeMap<&'static str, usize>,
    fatal: Option<anyhow::Error>,
}

impl Supervisor {
    /// A supervisor whose tasks wait for [`Supervisor::start`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task once the start-up is over, until it returns `Ok`. When it fails or panics, that is logged and
    /// counted (`background_task_restarts_total`), and it is restarted with exponential backoff.
    ///
    /// The token is cancelled at shutdown, after the HTTP servers have drained or half of the grace is over; the task
    /// should return soon after.
    pub fn spawn<F, Fut>(&self, name: &'static str, task: F)
    where
        F: Fn(CancellationToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        counter!(TASK_RESTARTS, "task" => name).absolute(0);
        let inner = Arc::clone(&self.0);
        let start = move || {
            let tasks = inner.tasks.clone();
            tasks.spawn(supervise(inner, name, task));
        };
        let mut state = self.0.state();
        if state.started {
            drop(state);
            start();
        } else {
            state.waiting.push(Box::new(start));
        }
    }

    /// Tracks work that must not be cancelled when the client that caused it hangs up; shutdown waits for it.
    pub fn tracker(&self) -> TaskTracker {
        self.0.detached.clone()
    }

    /// Starts the tasks. The chassis calls this after the migrations; a test that builds its own supervisor must.
    pub fn start(&self) {
        let waiting = {
            let mut state = self.0.state();
            state.started = true;
            std::mem::take(&mut state.waiting)
        };
        for start in waiting {
            start();
        }
    }

    /// Waits for the detached work, then cancels the tasks and waits for them.
    pub async fn stop(&self) {
        self.finish_detached().await;
        self.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Waits for the detached work.
    pub(crate) async fn finish_detached(&self) {
        self.0.detached.close();
        self.0.detached.wait().await;
    }

    /// How many pieces of detached work are not done.
    pub(crate) fn detached_count(&self) -> usize {
        self.0.detached.len()
    }

    /// Tells the tasks to stop, without waiting for anything.
    pub(crate) fn cancel(&self) {
        self.0.token.cancel();
    }

    /// Resolves when a task has failed fatally.
    pub(crate) async fn fatal(&self) -> anyhow::Error {
        loop {
            if let Some(error) = self.0.state().fatal.take() {
                return error;
            }
            self.0.has_failed.notified().await;
        }
    }

    /// What is still running, for the last words of the process.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.0.state().running.keys().map(|name| format!("task {name}")).collect();
        if !self.0.detached.is_empty() {
            names.push(format!("{} detached task(s)", self.0.detached.len()));
        }
        names
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("unfinished", &self.unfinished()).finish()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, name: &str, error: anyhow::Error) {
        self.state().fatal.get_or_insert(error.context(format!("background task {name} cannot go on")));
        self.has_failed.notify_one();
    }

    fn enter(&self, name: &'static str) {
        *self.state().running.entry(name).or_default() += 1;
    }

    fn leave(&self, name: &'static str) {
        let mut state = self.state();
        if let Some(count) = state.running.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                state.running.remove(name);
            }
        }
    }
}

async fn supervise<F, Fut>(inner: Arc<Inner>, name: &'static str, task: F)
where
    F: Fn(CancellationToken) -> Fut + Send + Sync,
    Fut: Future<Output = Result<(), TaskError>> + Send,
{
    inner.enter(name);
    run_until_done(&inner, name, task).await;
    inner.leave(name);
}

async fn run_until_done<F, Fut>(inner: &Inner, name: &'static str, task: F)
where
    F: Fn(CancellationToken) -> Fut + Send + Sync,
    Fut: Future<Output = Result<(), TaskError>> + Send,
{
    let mut delays = backoff();
    while !inner.token.is_cancelled() {
        let began = Instant::now();
        let run = AssertUnwindSafe(async { task(inner.token.clone()).await });
        match run.catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(TaskError::Fatal(error))) => return inner.fail(name, error),
            Ok(Err(TaskError::Failed(error))) => {
                tracing::error!(task = name, error = chain(error.as_ref()), "background task failed");
            }
            Err(panic) => {
                tracing::error!(task = name, error = panic_message(&*panic), "background task panicked");
            }
        }
        counter!(TASK_RESTARTS, "task" => name).increment(1);
        if began.elapsed() > HEALTHY_AFTER {
            delays = backoff();
        }
        let delay = delays.next().unwrap_or(HEALTHY_AFTER);
        tokio::select! {
            () = inner.token.cancelled() => return,
            () = tokio::time::sleep(delay) => (),
        }
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(10))
        .without_max_times()
        .with_jitter()
        .build()
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests;
