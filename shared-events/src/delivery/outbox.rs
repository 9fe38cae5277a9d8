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
    let payload = serde_json::to_string(payload).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query!(
        "INSERT INTO outbox (ce_id, type, topic, key, sequence, membership_id, payload, traceparent, actor)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        Uuid::now_v7(),
        P::TYPE,
        P::TOPIC.suffix(),
        aggregate.member_id.to_string(),
        aggregate.version,
        aggregate.membership_id.0,
        payload,
        provenance.traceparent,
        provenance.actor,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// As [`append_in_tx`], for many events of one type at once: they are published in their order.
///
/// # Errors
/// When the statement fails.
pub async fn append_all_in_tx<P: Payload>(
    tx: &mut PgConnection,
    events: &[(AggregateVersion, P)],
    provenance: &Provenance,
) -> sqlx::Result<()> {
    let payloads: Result<Vec<String>, serde_json::Error> =
        events.iter().map(|(_, payload)| serde_json::to_string(payload)).collect();
    let payloads = payloads.map_err(|error| sqlx::Error::Encode(error.into()))?;
    let versions = || events.iter().map(|(aggregate, _)| aggregate);
    sqlx::query!(
        "INSERT INTO outbox (ce_id, type, topic, key, sequence, membership_id, payload, traceparent, actor)
         SELECT ce_id, $1, $2, key, sequence, membership_id, payload, $3, $4
         FROM unnest($5::uuid[], $6::text[], $7::bigint[], $8::uuid[], $9::text[])
              WITH ORDINALITY AS new (ce_id, key, sequence, membership_id, payload, number)
         ORDER BY number",
        P::TYPE,
        P::TOPIC.suffix(),
        provenance.traceparent,
        provenance.actor,
        &versions().map(|_| Uuid::now_v7()).collect::<Vec<_>>(),
        &versions().map(|aggregate| aggregate.member_id.to_string()).collect::<Vec<_>>(),
        &versions().map(|aggregate| aggregate.version).collect::<Vec<_>>(),
        &versions().map(|aggregate| aggregate.membership_id.0).collect::<Vec<_>>(),
        &payloads,
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

/// The oldest rows. Without a cursor, so that a row whose transaction committed late is never skipped.
pub(super) async fn oldest(
    connection: &mut PgConnection,
    limit: usize,
    source: &str,
) -> sqlx::Result<Vec<Waiting>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = sqlx::query!(
        "SELECT id, ce_id, type, topic, key, sequence, payload, traceparent, actor, created_at
         FROM outbox ORDER BY id LIMIT $1",
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
