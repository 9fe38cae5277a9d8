//! A database for each test, on one Postgres for the whole test process; outgoing events; records, and a handler that writes down what
//! it gets.

mod bench;
mod outgoing;
mod recorder;
mod records;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use local_stack::database::Role;
use local_stack::postgres::{Postgres, PostgresOptions};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::OnceCell;

pub(super) use bench::Bench;
pub(super) use outgoing::{append, outgoing, provenance};
pub(super) use recorder::{Mishap, Recorder};
pub(super) use records::{Record, event, record, withdrawal};

use crate::delivery::settings::KafkaSettings;

/// How long anything may take before a test fails.
pub(in crate::delivery) const DEADLINE: Duration = Duration::from_secs(60);

/// Topics of one partition each, `mileage.member` and so on.
pub(in crate::delivery) fn kafka_settings(brokers: &str) -> KafkaSettings {
    KafkaSettings {
        kafka_brokers: brokers.to_owned(),
        topic_prefix: "mileage".to_owned(),
        topic_partitions: 1,
        topic_replication: 1,
        consumer_group: None,
        kafka_properties: Vec::new(),
    }
}

/// Connections as `point_app` to a database of the test's own. Beside inbox and outbox there is a table `effect`
/// for handlers to write to: `(key text, sequence bigint UNIQUE, ce_id uuid)`.
pub(in crate::delivery) async fn pool() -> PgPool {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);

    let start = || async { Postgres::start(PostgresOptions::default()).await.expect("Postgres starts") };
    let name = format!("delivery_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let database = POSTGRES.get_or_init(start).await.create_migrated_database(&name).await.unwrap();
    let mut owner = PgConnection::connect(&database.url("point", Role::Owner)).await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, key text NOT NULL, sequence bigint NOT NULL UNIQUE, ce_id uuid);
         GRANT SELECT, INSERT ON effect TO point_app",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    owner.close().await.unwrap();
    let options = chassis::db::connect_options(&database.url("point", Role::App), "point").unwrap();
    PgPoolOptions::new().max_connections(4).acquire_timeout(DEADLINE).connect_lazy_with(options)
}
