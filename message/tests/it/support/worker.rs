//! A worker that sends what is queued, until it is stopped.

use std::sync::Arc;
use std::time::Duration;

use chassis::Language;
use chassis::testing::DEADLINE;
use chrono::{TimeDelta, Utc};
use message::domain::{Limits, RetryBudget, Texts};
use message::gateway::SmsGateway;
use message::usecase::claim_messages::SpendingGuard;
use message::usecase::finish_message::Finisher;
use message::worker::Worker;
use shared_events::delivery::Wake;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Service, StubGateway};

/// How many messages a worker of a test sends at a time, unless the test says otherwise.
const CONCURRENCY: usize = 16;

/// The worker, in a task of its own.
pub struct RunningWorker {
    /// Wakes it, as the consumer does.
    pub wake: Wake,
    /// What it wakes.
    pub relay: Wake,
    token: CancellationToken,
    task: JoinHandle<sqlx::Result<()>>,
}

/// How long messages of a test are tried for, unless the test says otherwise.
pub const BUDGET: RetryBudget = RetryBudget { attempts: 100, age: TimeDelta::hours(1) };

/// A worker without limits, in Korean.
pub fn worker<G>(service: &Service, gateway: G) -> Worker<G> {
    Worker {
        pool: service.pool.clone(),
        gateway,
        timeout: Duration::from_secs(5),
        guard: SpendingGuard::new(Limits::default()),
        budget: BUDGET,
        texts: Texts::new(Language::Korean, "마일리지").unwrap(),
        wake: Wake::new(),
        finisher: Finisher::new(service.pool.clone(), Wake::new()),
        concurrency: CONCURRENCY,
        clock: Utc::now,
    }
}

impl RunningWorker {
    pub fn start(service: &Service, gateway: &StubGateway) -> Self {
        Self::run(worker(service, gateway.clone()))
    }

    /// With as many messages at a time.
    pub fn start_with(service: &Service, gateway: &StubGateway, concurrency: usize) -> Self {
        Self::run(Worker { concurrency, ..worker(service, gateway.clone()) })
    }

    /// Runs a worker that the test has made.
    pub fn run<G: SmsGateway>(worker: Worker<G>) -> Self {
        let (wake, relay) = (worker.wake.clone(), worker.finisher.relay.clone());
        let token = CancellationToken::new();
        Self { wake, relay, task: tokio::spawn(Arc::new(worker).run(token.clone())), token }
    }

    /// Tells it to stop, without waiting.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Waits until it has ended.
    pub async fn ended(self) -> sqlx::Result<()> {
        timeout(DEADLINE, self.task).await.expect("the worker does not end").unwrap()
    }

    /// Lets it finish what is being sent, and waits for that.
    pub async fn stop(self) {
        self.cancel();
        self.ended().await.unwrap();
    }
}
