//! One Postgres and one Kafka for all tests of the process. They end with it.

use std::future::Future;
use std::sync::LazyLock;

use local_stack::kafka::{Kafka, KafkaOptions};
use local_stack::postgres::{Postgres, PostgresOptions};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("an async runtime"));
static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
static KAFKA: OnceCell<Kafka> = OnceCell::const_new();

/// Runs a test on the runtime that Postgres and Kafka were started on, which outlives every test.
pub fn block_on<F: Future>(test: F) -> F::Output {
    RUNTIME.block_on(test)
}

/// The shared Postgres. A test that stops it starts its own instead.
pub async fn postgres() -> &'static Postgres {
    let start = || async { Postgres::start(PostgresOptions::default()).await };
    POSTGRES.get_or_try_init(start).await.expect("Postgres starts")
}

/// The shared Kafka. A test that stops it starts its own instead.
pub async fn kafka() -> &'static Kafka {
    let start = || async { Kafka::start(KafkaOptions::default()).await };
    KAFKA.get_or_try_init(start).await.expect("Kafka starts")
}
