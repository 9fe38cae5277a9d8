//! A worker that sends what is queued, until it is stopped.

use std::sync::Arc;

use chassis::testing::DEADLINE;
use chrono::Utc;
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

impl RunningWorker {
    pub fn start(service: &Service, gateway: &StubGateway) -> Self {
        Self::start_with(service, gateway, CONCURRENCY)
    }

    pub fn start_with(service: &Service, gateway: &StubGateway, concurrency: usize) -> Self {
        let (wake, relay, token) = (Wake::new(), Wake::new(), CancellationToken::new());
        let worker = Arc::new(Worker {
            pool: service.pool.clone(),
            gateway: gateway.clone(),
            wake: wake.clone(),
            relay: relay.clone(),
            concurrency,
            clock: Utc::now,
        });
        Self { wake, relay, task: tokio::spawn(worker.run(token.clone())), token }
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
