//! What attempts to send came to.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::queue::Claimed;
use crate::domain::MessageStatus;

/// What an attempt to send a claimed notification came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The notification.
    pub claimed: Claimed,
    /// `SENT`, `FAILED`, or `QUEUED`: to be tried again.
    pub status: MessageStatus,
    /// Why it was not sent.
    pub reason: Option<String>,
    /// What the gateway calls it.
    pub gateway_message_id: Option<String>,
    /// Whether the gateway may have accepted it, whatever the status.
    pub may_be_accepted: bool,
    /// When the attempt ended.
    pub at: DateTime<Utc>,
    /// When it is tried again.
    pub due_at: Option<DateTime<Utc>>,
}

/// Waits until nobody else is changing a notification, and locks it until the transaction ends.
pub async fn lock_in_tx(tx: &mut PgConnection, message_id: i64) -> sqlx::Result<()> {
    sqlx::query!("SELECT message_id FROM message WHERE message_id = $1 FOR UPDATE", message_id)
        .fetch_optional(tx)
        .await?;
    Ok(())
}

/// Notes outcomes. Returns for each the version of the notification, or `None` when the claim is no longer ours or somebody
/// else is changing the notification: waiting for one while others are locked might be waiting for who waits for those.
pub async fn note_all_in_tx(
    tx: &mut PgConnection,
    outcomes: &[Arc<Outcome>],
) -> sqlx::Result<Vec<Option<i64>>> {
    let is_final = |outcome: &Outcome| outcome.status != MessageStatus::Queued;
    // With the status among the conditions of the join, Postgres might read all that is queued.
    let rows = sqlx::query!(
        r#"WITH ours AS (
               SELECT new.*, message.status AS former_status
               FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::boolean[],
                           $7::timestamptz[], $8::timestamptz[])
                    WITH ORDINALITY AS new (id, claim, status, reason, gateway_message_id, may_be_accepted,
                                            finished_at, due_at, number)
                    JOIN message ON message_id = id AND message.claim = new.claim
               FOR UPDATE OF message SKIP LOCKED
           )
           UPDATE message
           SET status = ours.status, reason = ours.reason, gateway_message_id = ours.gateway_message_id,
               may_be_accepted = ours.may_be_accepted, finished_at = ours.finished_at, claim = NULL,
               due_at = coalesce(ours.due_at, message.due_at),
               version = version + CASE ours.status WHEN 'QUEUED' THEN 0 ELSE 1 END
           FROM ours WHERE message_id = id AND former_status = 'QUEUED'
           RETURNING number AS "number!", version"#,
        &outcomes.iter().map(|it| it.claimed.message_id).collect::<Vec<_>>(),
        &outcomes.iter().map(|it| it.claimed.claim).collect::<Vec<_>>(),
        &outcomes.iter().map(|it| it.status.as_str()).collect::<Vec<_>>() as &[&str],
        &outcomes.iter().map(|it| it.reason.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
        &outcomes.iter().map(|it| it.gateway_message_id.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
        &outcomes.iter().map(|it| it.may_be_accepted).collect::<Vec<_>>(),
        &outcomes.iter().map(|it| is_final(it).then_some(it.at)).collect::<Vec<_>>()
            as &[Option<DateTime<Utc>>],
        &outcomes.iter().map(|it| it.due_at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
    )
    .fetch_all(tx)
    .await?;
    let versions: HashMap<i64, i64> = rows.into_iter().map(|row| (row.number, row.version)).collect();
    Ok((1..).zip(outcomes).map(|(number, _)| versions.get(&number).copied()).collect())
}
