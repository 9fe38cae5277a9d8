//! Handles parked events after all, once what kept them from it is mended.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use chassis::error::chain;
use sqlx::{Connection, PgPool};

use super::store::{self, Parked, Queue};
use crate::delivery::after_commit::AfterCommit;
use crate::delivery::batch;
use crate::delivery::failure::HandlerError;
use crate::delivery::received::EventHandler;

/// What became of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redriven {
    /// How many events were handled.
    pub(super) handled: u64,
    /// The first that still cannot be, and why. It and those behind it stay parked.
    pub(super) refused: Option<(i64, String)>,
}

/// Handles the events of a queue in their order, each in a transaction of its own together with its removal, until
/// none is left, including those that park behind them in the meantime.
///
/// # Errors
/// When the database fails, a few times over. What was handled until then stays so.
pub(super) async fn redrive<H: EventHandler>(
    pool: &PgPool,
    handler: &H,
    queue: &Queue,
) -> Result<Redriven, HandlerError> {
    let mut handled = 0;
    loop {
        let step = || redrive_next(pool, handler, queue);
        match step.retry(delays()).when(is_transient).await? {
            Step::Handled => handled += 1,
            Step::Empty => return Ok(Redriven { handled, refused: None }),
            Step::Refused(id, reason) => return Ok(Redriven { handled, refused: Some((id, reason)) }),
        }
    }
}

enum Step {
    Handled,
    Empty,
    Refused(i64, String),
}

async fn redrive_next<H: EventHandler>(
    pool: &PgPool,
    handler: &H,
    queue: &Queue,
) -> Result<Step, HandlerError> {
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin().await?;
    let Some((next, superseded)) = next_in_tx(&mut tx, queue).await? else { return Ok(Step::Empty) };
    for id in superseded {
        store::remove(&mut *tx, id).await?;
    }
    let mut after = AfterCommit::default();
    let handling = async {
        let received = next.received().ok_or_else(|| HandlerError::permanent("the topic is unknown"))?;
        batch::apply_in_tx(&mut tx, handler, &[&received], &mut after).await
    };
    match handling.await {
        Ok(()) => {
            store::remove(&mut *tx, next.id).await?;
            tx.commit().await?;
            after.run();
            tracing::info!(id = next.id, topic = next.topic, key = next.key, ce_id = %next.ce_id, "redrove a parked event");
            Ok(Step::Handled)
        }
        Err(HandlerError::Permanent(error)) => {
            tx.rollback().await?;
            let reason = chain(&*error);
            store::give_reason(&mut *connection, next.id, &reason).await?;
            Ok(Step::Refused(next.id, reason))
        }
        Err(error @ HandlerError::Transient(_)) => Err(error),
    }
}

/// The next event of a queue, locked, and the ids of those before it that it supersedes.
async fn next_in_tx(tx: &mut sqlx::PgConnection, queue: &Queue) -> sqlx::Result<Option<(Parked, Vec<i64>)>> {
    let mut parked = match queue {
        Queue::Alone(id) => store::find(&mut *tx, *id).await?.into_iter().collect(),
        Queue::Keyed(topic, key) => {
            store::lock_in_tx(tx, topic, key).await?;
            store::queue_in_tx(tx, topic, key).await?
        }
    };
    let supersedes = |parked: &Parked| parked.received().is_some_and(|event| event.supersedes_earlier());
    let first = parked.iter().rposition(supersedes).unwrap_or(0);
    let superseded = parked.drain(..first.min(parked.len())).map(|parked| parked.id).collect();
    Ok(parked.into_iter().next().map(|next| (next, superseded)))
}

fn is_transient(error: &HandlerError) -> bool {
    matches!(error, HandlerError::Transient(_))
}

fn delays() -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(Duration::from_millis(100)).with_max_times(6).with_jitter()
}
