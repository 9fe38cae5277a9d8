//! Parked events: what cannot be handled waits in the consumer's own schema, with what follows it.

use rdkafka::message::Headers;
use serde_json::{Map, Value};
use sqlx::PgConnection;

use super::received::Received;

/// The reason given for events that only wait for an earlier one.
pub(super) const BEHIND_PARKED: &str = "an earlier event of the same topic and key is parked";

/// Postgres keeps no NUL in text, and the record or a reason that quotes it may have one.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Parks an event that the inbox has just noted in the same transaction. One that is parked already, as after a purge
/// of the inbox, stays where it is.
pub(super) async fn park_in_tx(tx: &mut PgConnection, event: &Received, reason: &str) -> sqlx::Result<()> {
    let headers: Map<String, Value> = event
        .headers
        .iter()
        .map(|header| {
            let value = header.value.map(|value| storable(&String::from_utf8_lossy(value)));
            (header.key.to_owned(), value.into())
        })
        .collect();
    sqlx::query!(
        "INSERT INTO parked_event (ce_id, topic, key, kafka_partition, kafka_offset, headers, payload, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (ce_id) DO NOTHING",
        event.inbox_id(),
        event.topic.suffix(),
        event.key,
        event.partition,
        event.offset,
        Value::Object(headers),
        event.payload,
        storable(reason),
    )
    .execute(tx)
    .await?;
    metrics::counter!("parked_events_total", "topic" => event.topic.suffix()).increment(1);
    tracing::error!(
        topic = %event.topic,
        partition = event.partition,
        offset = event.offset,
        key = event.key,
        reason,
        "parked an event"
    );
    Ok(())
}
