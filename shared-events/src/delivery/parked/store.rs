//! The table of parked events.

use chrono::{DateTime, Utc};
use metrics::counter;
use rdkafka::message::{Header, Headers, OwnedHeaders};
use serde_json::{Map, Value};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::delivery::after_commit::AfterCommit;
use crate::delivery::metrics::{PARKED_TOTAL, SUPERSEDED};
use crate::delivery::received::{Received, Record};
use crate::topic::Topic;

/// The reason given for events that only wait for an earlier one.
pub(in crate::delivery) const BEHIND_PARKED: &str = "an earlier event of the same topic and key is parked";

/// A parked event.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    pub(super) id: i64,
    pub(super) ce_id: Uuid,
    pub(super) topic: String,
    pub(super) key: Option<String>,
    pub(super) kafka_partition: i32,
    pub(super) kafka_offset: i64,
    pub(super) headers: Value,
    pub(super) payload: Vec<u8>,
    pub(super) reason: String,
    pub(super) parked_at: DateTime<Utc>,
}

impl Parked {
    /// A header that was text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.as_str()
    }

    /// The record as it was received. `None` when its topic is not one of this version's.
    pub(super) fn received(&self) -> Option<Received> {
        let topic = Topic::ALL.into_iter().find(|topic| topic.suffix() == self.topic)?;
        let headers = self.headers.as_object().into_iter().flatten();
        let headers = headers.fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: value.as_str() })
        });
        Some(Received::from(Record {
            topic,
            partition: self.kafka_partition,
            offset: self.kafka_offset,
            key: self.key.clone(),
            headers,
            payload: self.payload.clone(),
        }))
    }
}

/// What parks together: the events of one topic and key in their order, or a record without a readable key alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// Of this topic (its suffix) and key.
    Keyed(String, String),
    /// This parked event.
    Alone(i64),
}

impl From<&Parked> for Queue {
    fn from(parked: &Parked) -> Self {
        match &parked.key {
            Some(key) => Self::Keyed(parked.topic.clone(), key.clone()),
            None => Self::Alone(parked.id),
        }
    }
}

/// Which parked events are asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// Of this topic (its suffix).
    pub(super) topic: Option<String>,
    /// Of this key.
    pub(super) key: Option<String>,
    /// With a greater id.
    pub(super) after: i64,
    /// At most so many.
    pub(super) limit: i64,
}

/// Postgres keeps no NUL in text, and the record or a reason that quotes it may have one.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Parks an event that the inbox has noted in the same transaction. One that is parked already, as after a purge
/// of the inbox, stays where it is.
pub(in crate::delivery) async fn park_in_tx(
    tx: &mut PgConnection,
    event: &Received,
    reason: &str,
    after: &mut AfterCommit,
) -> sqlx::Result<()> {
    supersede_in_tx(tx, event, after).await?;
    let headers: Map<String, Value> = event
        .headers
        .iter()
        .map(|header| {
            let value = header.value.map(|value| storable(&String::from_utf8_lossy(value)));
            (header.key.to_owned(), value.into())
        })
        .collect();
    let parked = sqlx::query!(
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
    let (topic, parked) = (event.topic.suffix(), parked.rows_affected());
    after.add(move || counter!(PARKED_TOTAL, "topic" => topic).increment(parked));
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

/// Whether an event that has met parked ones of its key still has to wait behind them, now that nobody is redriving
/// them. To be asked in the transaction that parks or handles the event, and not to be believed after it.
pub(in crate::delivery) async fn has_to_wait_in_tx(
    tx: &mut PgConnection,
    event: &Received,
    after: &mut AfterCommit,
) -> sqlx::Result<bool> {
    let Some(key) = &event.key else { return Ok(false) };
    lock_in_tx(tx, event.topic.suffix(), key).await?;
    supersede_in_tx(tx, event, after).await?;
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM parked_event WHERE topic = $1 AND key = $2) AS "exists!""#,
        event.topic.suffix(),
        key
    )
    .fetch_one(tx)
    .await
}

/// Keeps the consumer from parking behind the last event of a queue while that is being redriven, and two redrives
/// of a queue apart.
pub(super) async fn lock_in_tx(tx: &mut PgConnection, topic: &str, key: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ':parked:' || $1 || '/' || $2, 0))
           AS "locked: ()""#,
        topic,
        key
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes what is parked of a member and older than its withdrawal, if the event is one: nothing that happened in an
/// ended membership has a meaning any more, and its personal data has to go.
async fn supersede_in_tx(
    tx: &mut PgConnection,
    event: &Received,
    after: &mut AfterCommit,
) -> sqlx::Result<()> {
    let Some(key) = event.key.as_deref().filter(|_| event.supersedes_earlier()) else { return Ok(()) };
    lock_in_tx(tx, event.topic.suffix(), key).await?;
    let superseded = sqlx::query!(
        "DELETE FROM parked_event
         WHERE topic = $1 AND key = $2 AND ce_id <> $3
           AND (kafka_partition = $4 AND kafka_offset < $5
                OR CASE WHEN headers->>'ce_sequence' ~ '^[0-9]{1,18}$'
                        THEN (headers->>'ce_sequence')::bigint < $6 ELSE false END)
         RETURNING id, kafka_offset, reason",
        event.topic.suffix(),
        key,
        event.inbox_id(),
        event.partition,
        event.offset,
        event.envelope.as_ref().map_or(0, |envelope| envelope.sequence),
    )
    .fetch_all(tx)
    .await?;
    let (topic, count) = (event.topic.suffix(), superseded.len() as u64);
    after.add(move || counter!(SUPERSEDED, "topic" => topic).increment(count));
    for parked in superseded {
        tracing::warn!(
            topic = %event.topic,
            partition = event.partition,
            offset = parked.kafka_offset,
            key,
            reason = parked.reason,
            "removed a parked event: the member has withdrawn since"
        );
    }
    Ok(())
}

/// Parked events by ascending id.
pub(super) async fn list(executor: impl PgExecutor<'_>, filter: &Filter) -> sqlx::Result<Vec<Parked>> {
    sqlx::query_as!(
        Parked,
        "SELECT id, ce_id, topic, key, kafka_partition, kafka_offset, headers, payload, reason, parked_at
         FROM parked_event
         WHERE id > $1 AND topic = coalesce($2, topic) AND ($3::text IS NULL OR key = $3)
         ORDER BY id LIMIT $4",
        filter.after,
        filter.topic,
        filter.key,
        filter.limit,
    )
    .fetch_all(executor)
    .await
}

/// A parked event by its id.
pub(super) async fn find(executor: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<Parked>> {
    sqlx::query_as!(
        Parked,
        "SELECT id, ce_id, topic, key, kafka_partition, kafka_offset, headers, payload, reason, parked_at
         FROM parked_event WHERE id = $1",
        id
    )
    .fetch_optional(executor)
    .await
}

/// All queues, the one with the oldest event first.
pub(super) async fn queues(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Queue>> {
    let rows = sqlx::query!(
        r#"SELECT topic, key, min(id) AS "oldest!" FROM parked_event
           GROUP BY topic, key, CASE WHEN key IS NULL THEN id END ORDER BY min(id)"#
    )
    .fetch_all(executor)
    .await?;
    let queue = |topic, key: Option<String>, id| match key {
        Some(key) => Queue::Keyed(topic, key),
        None => Queue::Alone(id),
    };
    Ok(rows.into_iter().map(|row| queue(row.topic, row.key, row.oldest)).collect())
}

/// The events of a queue in the order of the log, to be locked before.
pub(super) async fn queue_in_tx(tx: &mut PgConnection, topic: &str, key: &str) -> sqlx::Result<Vec<Parked>> {
    sqlx::query_as!(
        Parked,
        "SELECT id, ce_id, topic, key, kafka_partition, kafka_offset, headers, payload, reason, parked_at
         FROM parked_event WHERE topic = $1 AND key = $2 ORDER BY kafka_offset, id",
        topic,
        key
    )
    .fetch_all(tx)
    .await
}

/// Removes a parked event. `false` when it was not there any more.
pub(super) async fn remove(executor: impl PgExecutor<'_>, id: i64) -> sqlx::Result<bool> {
    let removed = sqlx::query!("DELETE FROM parked_event WHERE id = $1", id).execute(executor).await?;
    Ok(removed.rows_affected() > 0)
}

/// Says anew why an event is parked.
pub(super) async fn give_reason(executor: impl PgExecutor<'_>, id: i64, reason: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE parked_event SET reason = $2 WHERE id = $1", id, storable(reason))
        .execute(executor)
        .await?;
    Ok(())
}

/// How many events of a topic are parked, and for how many seconds the oldest has been.
pub(super) async fn depth(executor: impl PgExecutor<'_>, topic: Topic) -> sqlx::Result<(i64, f64)> {
    let depth = sqlx::query!(
        r#"SELECT count(*) AS "count!",
                  coalesce(extract(epoch FROM now() - min(parked_at)), 0)::float8 AS "age!"
           FROM parked_event WHERE topic = $1"#,
        topic.suffix()
    )
    .fetch_one(executor)
    .await?;
    Ok((depth.count, depth.age))
}
