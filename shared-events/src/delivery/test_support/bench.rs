//! A consumer without a topic.

use sqlx::PgPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{DEADLINE, Mishap, Recorder, kafka_settings, pool};
use crate::delivery::broker::Broker;
use crate::delivery::consumer::{Cancelled, Consumer, ConsumerOptions};
use crate::delivery::received::Received;
use crate::topic::Topic;

/// A consumer on a database of its own.
pub(in crate::delivery) struct Bench {
    pub(in crate::delivery) pool: PgPool,
    pub(in crate::delivery) recorder: Recorder,
    pub(in crate::delivery) consumer: Consumer<Recorder>,
    pub(in crate::delivery) token: CancellationToken,
}

impl Bench {
    pub(in crate::delivery) async fn new(mishaps: impl IntoIterator<Item = (i64, Vec<Mishap>)>) -> Self {
        let settings = kafka_settings("127.0.0.1:1");
        let options = ConsumerOptions { topics: &[Topic::Member], wakes: Vec::new() };
        let (pool, recorder) = (pool().await, Recorder::new(mishaps));
        let consumer = Consumer::new(Broker::new("point", settings), pool.clone(), options, recorder.clone());
        Self { pool, recorder, consumer, token: CancellationToken::new() }
    }

    /// Deals with a batch until nothing has to be tried again; `false` when cancelled.
    pub(in crate::delivery) async fn settle(&self, batch: &[Received]) -> bool {
        let settling = async {
            let mut rest = batch.to_vec();
            while !rest.is_empty() {
                match self.consumer.settle(&rest, &self.token).await {
                    Ok(failed) => rest = failed,
                    Err(Cancelled) => return false,
                }
            }
            true
        };
        timeout(DEADLINE, settling).await.expect("the batch in time")
    }

    /// The sequences that had an effect, in the order of the effects.
    pub(in crate::delivery) async fn effects(&self) -> Vec<i64> {
        sqlx::query_scalar("SELECT sequence FROM effect ORDER BY id").fetch_all(&self.pool).await.unwrap()
    }

    /// Offset, key and reason of what is parked, in order.
    pub(in crate::delivery) async fn parked(&self) -> Vec<(i64, Option<String>, String)> {
        sqlx::query_as("SELECT kafka_offset, key, reason FROM parked_event ORDER BY id")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    pub(in crate::delivery) async fn parked_offsets(&self) -> Vec<i64> {
        self.parked().await.into_iter().map(|(offset, ..)| offset).collect()
    }

    pub(in crate::delivery) async fn noted(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM inbox").fetch_one(&self.pool).await.unwrap()
    }
}
