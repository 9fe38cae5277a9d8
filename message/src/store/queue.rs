//! What is queued: claimed, delayed, or queued again.

use chrono::{DateTime, Utc};
use shared_events::event::MessageKind;
use shared_events::{MemberId, MembershipId, Provenance};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{kind, member_id};
use crate::domain::{ExpiryNotice, PhoneNo};

/// A notification that is due, locked until the transaction ends.
#[derive(Clone, Debug)]
pub struct Due {
    /// The notification.
    pub message_id: i64,
    /// Where it goes.
    pub phone_no: PhoneNo,
    /// Whether the spending guard has let it through.
    pub is_admitted: bool,
}

/// Locks what is due and nobody else is claiming at the moment; what has been due for longest comes first.
pub async fn lock_due_in_tx(tx: &mut PgConnection, now: DateTime<Utc>, limit: i64) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query!(
        r#"SELECT message_id, phone_no AS "phone_no!", admitted_at IS NOT NULL AS "is_admitted!" FROM message
           WHERE status = 'QUEUED' AND due_at <= $1 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED"#,
        now,
        limit,
    )
    .fetch_all(tx)
    .await?;
    let due = rows.into_iter().map(|row| Due {
        message_id: row.message_id,
        phone_no: PhoneNo(row.phone_no),
        is_admitted: row.is_admitted,
    });
    Ok(due.collect())
}

/// Locks what is due again of those that the spending guard has let through before, as [`lock_due_in_tx`] does.
pub async fn lock_admitted_in_tx(
    tx: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        "SELECT message_id FROM message
         WHERE status = 'QUEUED' AND admitted_at IS NOT NULL AND due_at <= $1
         ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    .fetch_all(tx)
    .await
}

/// A right to send until the lease ends; then the notification is due again.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// Proves that a claim is still ours.
    pub claim: Uuid,
    /// When it ends.
    pub until: DateTime<Utc>,
}

/// A notification that is ours to send, until the lease ends.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The notification.
    pub message_id: i64,
    /// Whom it is for.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// What it is for.
    pub kind: MessageKind,
    /// What an expiry notice tells of.
    pub notice: Option<ExpiryNotice>,
    /// Where it goes.
    pub phone_no: PhoneNo,
    /// Which attempt this is, from 1.
    pub attempts: i32,
    /// Whether the gateway may have accepted an earlier attempt.
    pub may_be_accepted: bool,
    /// When it was queued.
    pub queued_at: DateTime<Utc>,
    /// When the spending guard let it through.
    pub admitted_at: DateTime<Utc>,
    /// The trace of what caused it.
    pub traceparent: Option<String>,
    /// Proves that the claim is still ours.
    pub claim: Uuid,
}

/// Claims notifications that are locked. An attempt that nobody ended, as its owner died, may have been accepted.
pub async fn claim_in_tx(
    tx: &mut PgConnection,
    message_ids: &[i64],
    lease: Lease,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Claimed>> {
    let rows = sqlx::query!(
        r#"UPDATE message
           SET claim = $2, due_at = $3, attempts = attempts + 1, admitted_at = coalesce(admitted_at, $4),
               may_be_accepted = may_be_accepted OR claim IS NOT NULL
           WHERE message_id = ANY ($1)
           RETURNING message_id, member_id, membership_id, kind, phone_no AS "phone_no!", attempts, may_be_accepted,
                     queued_at, admitted_at AS "admitted_at!", traceparent, points, expires_at"#,
        message_ids,
        lease.claim,
        lease.until,
        now,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Claimed {
                message_id: row.message_id,
                member_id: member_id(row.member_id)?,
                membership_id: MembershipId(row.membership_id),
                kind: kind(&row.kind),
                notice: row
                    .points
                    .zip(row.expires_at)
                    .map(|(points, expires_at)| ExpiryNotice { points, expires_at }),
                phone_no: PhoneNo(row.phone_no),
                attempts: row.attempts,
                may_be_accepted: row.may_be_accepted,
                queued_at: row.queued_at,
                admitted_at: row.admitted_at,
                traceparent: row.traceparent,
                claim: lease.claim,
            })
        })
        .collect()
}

/// Lets notifications that are locked wait, each until a time of its own.
pub async fn delay_in_tx(
    tx: &mut PgConnection,
    message_ids: &[i64],
    until: &[DateTime<Utc>],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE message SET due_at = until FROM unnest($1::bigint[], $2::timestamptz[]) AS delayed (id, until)
         WHERE message_id = id",
        message_ids,
        until,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Queues a failed notification again, as if it were new. Says whether it did: only what failed, and still has a
/// phone number, can be.
pub async fn resend(
    executor: impl PgExecutor<'_>,
    message_id: i64,
    provenance: &Provenance,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let queued = sqlx::query!(
        "UPDATE message
         SET status = 'QUEUED', due_at = $2, attempts = 0, admitted_at = NULL, reason = NULL, finished_at = NULL,
             resent_by = $3, traceparent = $4
         WHERE message_id = $1 AND status = 'FAILED' AND phone_no IS NOT NULL",
        message_id,
        now,
        provenance.actor,
        provenance.traceparent,
    )
    .execute(executor)
    .await?;
    Ok(queued.rows_affected() == 1)
}

/// How many notifications wait, and for how many seconds the one that has been due for longest.
pub async fn depth(executor: impl PgExecutor<'_>, now: DateTime<Utc>) -> sqlx::Result<(i64, f64)> {
    let depth = sqlx::query!(
        r#"SELECT count(*) AS "count!",
                  greatest(coalesce(extract(epoch FROM $1 - min(due_at)), 0), 0)::float8 AS "overdue!"
           FROM message WHERE status = 'QUEUED'"#,
        now,
    )
    .fetch_one(executor)
    .await?;
    Ok((depth.count, depth.overdue))
}
