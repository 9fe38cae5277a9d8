//! The transactional outbox: an event is written with the state change it tells of, or not at all.

mod depth;

use sqlx::PgConnection;
use uuid::Uuid;

pub(super) use depth::watch_depth;

use crate::envelope::{Envelope, Provenance};
use crate::event::Payload;
use crate::identity::{MemberId, MembershipId};

/// The aggregate that an event is about, at the version the event brought it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregateVersion {
    /// The aggregate's id and the event's key.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// The version, allocated while the aggregate's row is locked.
    pub version: i64,
}

/// An event that is to be published.
#[derive(Clone, Debug)]
pub struct NewEvent {
    event_type: &'static str,
    topic: &'static str,
    aggregate: AggregateVersion,
    payload: String,
    provenance: Provenance,
}

impl NewEvent {
    /// Tells of an aggregate.
    ///
    /// # Errors
    /// When the payload is no JSON.
    pub fn new<P: Payload>(
        aggregate: AggregateVersion,
        payload: &P,
        provenance: &Provenance,
    ) -> sqlx::Result<Self> {
        let payload = serde_json::to_string(payload).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let (event_type, topic, provenance) = (P::TYPE, P::TOPIC.suffix(), provenance.clone());
        Ok(Self { event_type, topic, aggregate, payload, provenance })
    }
}

/// Writes an event into the outbox. Wake the relay after the commit.
///
/// # Errors
/// When the statement fails.
pub async fn append_in_tx<P: Payload>(
    tx: &mut PgConnection,
    aggregate: AggregateVersion,
    payload: &P,
    provenance: &Provenance,
) -> sqlx::Result<()> {
    append_all_in_tx(tx, &[NewEvent::new(aggregate, payload, provenance)?]).await
}

/// Writes events into the outbox, in one statement: they are published in their order. Wake the relay after the commit.
///
/// # Errors
/// When the statement fails.
pub async fn append_all_in_tx(tx: &mut PgConnection, events: &[NewEvent]) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = events.iter().map(|event| event.aggregate.member_id.to_string()).collect();
    sqlx::query!(
        "INSERT INTO outbox (ce_id, type, topic, key, sequence, membership_id, payload, traceparent, actor)
         SELECT ce_id, type, topic, key, sequence, membership_id, payload, traceparent, actor
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::uuid[], $7::text[], $8::text[],
                     $9::text[])
              WITH ORDINALITY
              AS new (ce_id, type, topic, key, sequence, membership_id, payload, traceparent, actor, number)
         ORDER BY number",
        &events.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>(),
        &events.iter().map(|event| event.event_type).collect::<Vec<_>>() as &[&str],
        &events.iter().map(|event| event.topic).collect::<Vec<_>>() as &[&str],
        &keys,
        &events.iter().map(|event| event.aggregate.version).collect::<Vec<_>>(),
        &events.iter().map(|event| event.aggregate.membership_id.0).collect::<Vec<_>>(),
        &events.iter().map(|event| event.payload.as_str()).collect::<Vec<_>>() as &[&str],
        &events.iter().map(|event| event.provenance.traceparent.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
        &events.iter().map(|event| event.provenance.actor.as_str()).collect::<Vec<_>>() as &[&str],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A row that waits to be published.
pub(super) struct Waiting {
    pub(super) id: i64,
    pub(super) topic: String,
    pub(super) key: String,
    pub(super) payload: String,
    pub(super) envelope: Envelope,
}

/// Removes rows whose delivery the broker has confirmed, and returns the oldest of those that are not in flight either.
/// Without a cursor, so that a row whose transaction committed late is never skipped.
pub(super) async fn advance(
    connection: &mut PgConnection,
    confirmed: &[i64],
    in_flight: &[i64],
    limit: usize,
    source: &str,
) -> sqlx::Result<Vec<Waiting>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // NOT IN is hashed; <> ALL would compare each row with each of them.
    let rows = sqlx::query!(
        "WITH gone AS (DELETE FROM outbox WHERE id = ANY ($1))
         SELECT id, ce_id, type, topic, key, sequence, payload, traceparent, actor, created_at
         FROM outbox WHERE id NOT IN (SELECT unnest($1 || $2)) ORDER BY id LIMIT $3",
        confirmed,
        in_flight,
        limit
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let member_id = row.key.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            Ok(Waiting {
                id: row.id,
                topic: row.topic,
                key: row.key,
                payload: row.payload,
                envelope: Envelope {
                    id: row.ce_id,
                    event_type: row.r#type,
                    source: source.to_owned(),
                    member_id,
                    sequence: row.sequence,
                    time: row.created_at,
                    provenance: Provenance { actor: row.actor, traceparent: row.traceparent },
                },
            })
        })
        .collect()
}

/// Removes rows whose delivery the broker has confirmed.
pub(super) async fn delete(connection: &mut PgConnection, ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM outbox WHERE id = ANY($1)", ids).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
