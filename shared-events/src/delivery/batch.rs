//! One transaction around a batch of events.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use metrics::counter;
use sqlx::{Connection, PgConnection};

use super::failure::HandlerError;
use super::inbox::{self, Admission};
use super::parked;
use super::received::{EventHandler, Received};
use crate::event::Event;

/// Handles the events in order and commits them together, or none of them.
pub(super) async fn handle<H: EventHandler>(
    connection: &mut PgConnection,
    handler: &H,
    events: &[Received],
) -> Result<(), HandlerError> {
    let mut tx = connection.begin().await?;
    for event in events {
        match inbox::admit_in_tx(&mut tx, event).await? {
            Admission::Duplicate => {
                counter!("inbox_duplicates_total", "topic" => event.topic.suffix()).increment(1)
            }
            Admission::BehindParked if parked::has_to_wait_in_tx(&mut tx, event).await? => {
                parked::park_in_tx(&mut tx, event, parked::BEHIND_PARKED).await?
            }
            Admission::Fresh | Admission::BehindParked => apply_in_tx(&mut tx, handler, event).await?,
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Gives an event to the service's policies.
pub(super) async fn apply_in_tx<H: EventHandler>(
    tx: &mut PgConnection,
    handler: &H,
    received: &Received,
) -> Result<(), HandlerError> {
    let (envelope, event) = received.decode()?;
    if event == Event::Unknown {
        counter!("events_unknown_total", "topic" => received.topic.suffix()).increment(1);
        return Ok(());
    }
    let handling = AssertUnwindSafe(handler.handle_in_tx(tx, envelope, event)).catch_unwind();
    let outcome = handling.await.unwrap_or_else(|_| Err(HandlerError::permanent("the handler panicked")))?;
    counter!("events_handled_total", "type" => envelope.event_type.clone(), "outcome" => outcome.as_str())
        .increment(1);
    tracing::debug!(
        event_type = envelope.event_type,
        ce_id = %envelope.id,
        member_id = %envelope.member_id,
        sequence = envelope.sequence,
        outcome = outcome.as_str(),
        "handled an event"
    );
    Ok(())
}

/// Parks one event in a transaction of its own, unless it was handled or parked before.
pub(super) async fn park(
    connection: &mut PgConnection,
    event: &Received,
    reason: &str,
) -> Result<(), HandlerError> {
    let mut tx = connection.begin().await?;
    if inbox::admit_in_tx(&mut tx, event).await? != Admission::Duplicate {
        parked::park_in_tx(&mut tx, event, reason).await?;
    }
    tx.commit().await?;
    Ok(())
}
