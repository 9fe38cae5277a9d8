//! One transaction around a batch of events.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use metrics::{counter, histogram};
use sqlx::{Connection, PgConnection};

use super::after_commit::AfterCommit;
use super::failure::HandlerError;
use super::inbox::{self, Admission};
use super::metrics::{DELAY, DUPLICATES, HANDLED, UNKNOWN};
use super::parked;
use super::received::{EventHandler, Outcome, Received};
use crate::envelope::Envelope;
use crate::event::Event;
use crate::time::now;

/// Handles the events and commits them together, or none of them. Those of one topic and key are handled in their order.
pub(super) async fn handle<H: EventHandler>(
    connection: &mut PgConnection,
    handler: &H,
    events: &[&Received],
) -> Result<(), HandlerError> {
    let mut tx = connection.begin().await?;
    let mut after = AfterCommit::default();
    let mut fresh = Vec::with_capacity(events.len());
    let admissions = inbox::admit_all_in_tx(&mut tx, events).await?;
    for (event, admission) in events.iter().zip(admissions) {
        match admission {
            Admission::Duplicate => {
                let topic = event.topic.suffix();
                after.add(move || counter!(DUPLICATES, "topic" => topic).increment(1));
            }
            Admission::BehindParked if parked::has_to_wait_in_tx(&mut tx, event, &mut after).await? => {
                parked::park_in_tx(&mut tx, event, parked::BEHIND_PARKED, &mut after).await?
            }
            Admission::Fresh | Admission::BehindParked => fresh.push(*event),
        }
    }
    apply_in_tx(&mut tx, handler, &fresh, &mut after).await?;
    tx.commit().await?;
    after.run();
    Ok(())
}

/// Gives events to the service's policies.
pub(super) async fn apply_in_tx<H: EventHandler>(
    tx: &mut PgConnection,
    handler: &H,
    received: &[&Received],
    after: &mut AfterCommit,
) -> Result<(), HandlerError> {
    let events: Vec<(&Envelope, Event)> =
        received.iter().map(|received| received.decode()).collect::<Result<_, _>>()?;
    if events.is_empty() {
        return Ok(());
    }
    let envelopes: Vec<&Envelope> = events.iter().map(|(envelope, _)| *envelope).collect();
    let handling = AssertUnwindSafe(handler.handle_all_in_tx(tx, events, after)).catch_unwind();
    let outcomes = handling.await.unwrap_or_else(|_| Err(HandlerError::permanent("the handler panicked")))?;
    for ((received, envelope), outcome) in received.iter().zip(envelopes).zip(outcomes) {
        let (topic, written, event_type) = (received.topic, envelope.time, envelope.event_type.clone());
        after.add(move || {
            count(event_type, outcome);
            let delay = (now() - written).to_std().unwrap_or_default();
            histogram!(DELAY, "topic" => topic.suffix()).record(delay);
        });
        tracing::debug!(
            event_type = envelope.event_type,
            ce_id = %envelope.id,
            member_id = %envelope.member_id,
            sequence = envelope.sequence,
            outcome = outcome.as_str(),
            "handled an event"
        );
    }
    Ok(())
}

/// Whether an event concerns a service. Beside what its policies react to that is what has no readable envelope, as it
/// parks, and a withdrawal, which removes what is parked.
pub(super) fn concerns<H: EventHandler>(handler: &H, event: &Received) -> bool {
    let Ok(envelope) = &event.envelope else { return true };
    if handler.reacts_to(&envelope.event_type) || event.supersedes_earlier() {
        return true;
    }
    if Event::is_known(&envelope.event_type) {
        count(envelope.event_type.clone(), Outcome::Ignored);
    } else {
        counter!(UNKNOWN, "topic" => event.topic.suffix()).increment(1);
    }
    false
}

fn count(event_type: String, outcome: Outcome) {
    counter!(HANDLED, "type" => event_type, "outcome" => outcome.as_str()).increment(1);
}

/// Parks one event in a transaction of its own, unless it was handled or parked before.
pub(super) async fn park(
    connection: &mut PgConnection,
    event: &Received,
    reason: &str,
) -> Result<(), HandlerError> {
    let mut tx = connection.begin().await?;
    let mut after = AfterCommit::default();
    if !inbox::admit_all_in_tx(&mut tx, &[event]).await?.contains(&Admission::Duplicate) {
        parked::park_in_tx(&mut tx, event, reason, &mut after).await?;
    }
    tx.commit().await?;
    after.run();
    Ok(())
}
