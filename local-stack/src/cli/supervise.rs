//! Restarts parts that die, and says so.

use std::{
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};

use local_stack::{
    report::{say, seconds},
    service::ServiceProcess,
    stack::{Broker, Stack},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A part that lived this long starts over with the first pause.
const STEADY: Duration = Duration::from_secs(60);

/// The tasks that each look after one part.
pub(super) struct Supervision {
    tasks: JoinSet<()>,
    end: CancellationToken,
}

impl Supervision {
    pub(super) fn start(stack: Arc<Stack>) -> Self {
        let mut parts: Vec<Part> =
            stack.services.all().iter().map(|it| Part::Service(Arc::clone(it))).collect();
        if stack.postgres.is_some() {
            parts.push(Part::Postgres(Arc::clone(&stack)));
        }
        if matches!(stack.broker, Broker::Kafka(_)) {
            parts.push(Part::Kafka(stack));
        }
        let mut supervision = Self { tasks: JoinSet::new(), end: CancellationToken::new() };
        for part in parts {
            let end = supervision.end.clone();
            supervision.tasks.spawn(async move {
                end.run_until_cancelled(look_after(&part)).await;
            });
        }
        supervision
    }

    /// From here on nothing is restarted.
    pub(super) async fn end(mut self) {
        self.end.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

enum Part {
    Postgres(Arc<Stack>),
    Kafka(Arc<Stack>),
    Service(Arc<ServiceProcess>),
}

async fn look_after(part: &Part) {
    let mut pause = FIRST_PAUSE;
    loop {
        let start = Instant::now();
        let status = part.exited().await;
        if start.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        let name = part.name();
        say(format!("{name} died ({status}); restarting it in {}", seconds(pause)));
        tokio::time::sleep(pause).await;
        let start = Instant::now();
        match part.restart().await {
            Ok(()) => say(format!("{name} is back ({})", seconds(start.elapsed()))),
            Err(error) => say(format!("{name} cannot be restarted: {error:#}")),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Part {
    fn name(&self) -> &str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Kafka(_) => "kafka",
            Self::Service(service) => service.name(),
        }
    }

    async fn exited(&self) -> ExitStatus {
        match self {
            Self::Postgres(stack) => match &stack.postgres {
                Some(postgres) => postgres.exited().await,
                None => std::future::pending().await,
            },
            Self::Kafka(stack) => match stack.kafka() {
                Some(kafka) => kafka.exited().await,
                None => std::future::pending().await,
            },
            Self::Service(service) => service.exited().await,
        }
    }

    async fn restart(&self) -> anyhow::Result<()> {
        match self {
            Self::Postgres(stack) => match &stack.postgres {
                Some(postgres) => postgres.restart().await,
                None => Ok(()),
            },
            Self::Kafka(stack) => match stack.kafka() {
                Some(kafka) => kafka.restart().await,
                None => Ok(()),
            },
            Self::Service(service) => service.restart().await,
        }
    }
}
