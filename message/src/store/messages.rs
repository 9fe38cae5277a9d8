//! Notifications in Postgres.

use chrono::{DateTime, Utc};
use shared_events::event::MessageKind;
use shared_events::{MemberId, MembershipId};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::domain::{Message, MessageStatus, PhoneNo};

struct Row {
    message_id: i64,
    member_id: i64,
    membership_id: Uuid,
    kind: String,
    phone_no: Option<String>,
    status: String,
    reason: Option<String>,
    attempts: i32,
    queued_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Message {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            message_id: row.message_id,
            member_id: member_id(row.member_id)?,
            membership_id: MembershipId(row.membership_id),
            kind: kind(&row.kind),
            phone_no: row.phone_no.map(PhoneNo),
            status: row.status.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            reason: row.reason,
            attempts: row.attempts,
            queued_at: row.queued_at,
            finished_at: row.finished_at,
        })
    }
}

fn member_id(id: i64) -> sqlx::Result<MemberId> {
    MemberId::try_from(id).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn kind(name: &str) -> MessageKind {
    if name == MessageKind::Welcome.as_str() { MessageKind::Welcome } else { MessageKind::Unknown }
}

/// A notification to be queued.
#[derive(Clone, Debug)]
pub struct NewMessage<'a> {
    /// Whom it is for.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// What it is for.
    pub kind: MessageKind,
    /// Where it goes.
    pub phone_no: &'a PhoneNo,
    /// The trace of what caused it.
    pub traceparent: Option<&'a str>,
}

/// Queues a notification, unless the membership has one of its kind. Says whether it did.
pub async fn queue_in_tx(
    tx: &mut PgConnection,
    message: &NewMessage<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let queued = sqlx::query!(
        "INSERT INTO message (member_id, membership_id, kind, phone_no, status, due_at, queued_at, traceparent)
         VALUES ($1, $2, $3, $4, 'QUEUED', $5, $5, $6)
         ON CONFLICT (membership_id, kind) DO NOTHING",
        message.member_id.get(),
        message.membership_id.0,
        message.kind.as_str(),
        message.phone_no.0,
        now,
        message.traceparent,
    )
    .execute(tx)
    .await?;
    Ok(queued.rows_affected() == 1)
}

/// Cancels what a membership has queued and erases its phone number. Returns how many rows changed.
pub async fn erase_in_tx(
    tx: &mut PgConnection,
    membership_id: MembershipId,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let erased = sqlx::query!(
        "UPDATE message
         SET phone_no = NULL, claim = NULL,
             status = CASE status WHEN 'QUEUED' THEN 'CANCELLED' ELSE status END,
             finished_at = coalesce(finished_at, $2)
         WHERE membership_id = $1 AND (phone_no IS NOT NULL OR status = 'QUEUED')",
        membership_id.0,
        now,
    )
    .execute(tx)
    .await?;
    Ok(erased.rows_affected())
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
    /// Where it goes.
    pub phone_no: PhoneNo,
    /// Which attempt this is, from 1.
    pub attempts: i32,
    /// The trace of what caused it.
    pub traceparent: Option<String>,
    /// Proves that the claim is still ours.
    pub claim: Uuid,
}

/// Claims what is due, each row by one caller only. A claim is a lease until `lease_until`: after it the row is
/// due again.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    claim: Uuid,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Claimed>> {
    // An array is made once. The subquery of an `IN` may be run for every row, and then claims beyond its limit.
    let rows = sqlx::query!(
        r#"UPDATE message SET claim = $1, due_at = $3, attempts = attempts + 1
           WHERE message_id = ANY (ARRAY(
               SELECT message_id FROM message WHERE status = 'QUEUED' AND due_at <= $2
               ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED))
           RETURNING message_id, member_id, membership_id, kind, phone_no AS "phone_no!", attempts, traceparent"#,
        claim,
        now,
        lease_until,
        limit,
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Claimed {
                message_id: row.message_id,
                member_id: member_id(row.member_id)?,
                membership_id: MembershipId(row.membership_id),
                kind: kind(&row.kind),
                phone_no: PhoneNo(row.phone_no),
                attempts: row.attempts,
                traceparent: row.traceparent,
                claim,
            })
        })
        .collect()
}

/// Ends a claimed notification. Returns its version, or `None` when the claim is no longer ours.
pub async fn finish_in_tx(
    tx: &mut PgConnection,
    claimed: &Claimed,
    status: MessageStatus,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "UPDATE message SET status = $3, reason = $4, finished_at = $5, claim = NULL, version = version + 1
         WHERE message_id = $1 AND claim = $2 AND status = 'QUEUED' RETURNING version",
        claimed.message_id,
        claimed.claim,
        status.as_str(),
        reason,
        now,
    )
    .fetch_optional(tx)
    .await
}

/// Puts a claimed notification back until `due_at`. Does nothing when the claim is no longer ours.
pub async fn postpone(
    executor: impl PgExecutor<'_>,
    claimed: &Claimed,
    reason: &str,
    due_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE message SET reason = $3, due_at = $4, claim = NULL
         WHERE message_id = $1 AND claim = $2 AND status = 'QUEUED'",
        claimed.message_id,
        claimed.claim,
        reason,
        due_at,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// A notification by id.
pub async fn find(executor: impl PgExecutor<'_>, message_id: i64) -> sqlx::Result<Option<Message>> {
    sqlx::query_as!(
        Row,
        "SELECT message_id, member_id, membership_id, kind, phone_no, status, reason, attempts, queued_at, finished_at
         FROM message WHERE message_id = $1",
        message_id
    )
    .fetch_optional(executor)
    .await?
    .map(Message::try_from)
    .transpose()
}

/// Notifications by ascending id, of one member or of all: those behind `after`, skipping `offset` of them.
pub async fn list(
    executor: impl PgExecutor<'_>,
    member_id: Option<MemberId>,
    after: i64,
    offset: i64,
    limit: i64,
) -> sqlx::Result<Vec<Message>> {
    sqlx::query_as!(
        Row,
        "SELECT message_id, member_id, membership_id, kind, phone_no, status, reason, attempts, queued_at, finished_at
         FROM message WHERE message_id > $2 AND ($1::bigint IS NULL OR member_id = $1)
         ORDER BY message_id OFFSET $3 LIMIT $4",
        member_id.map(MemberId::get),
        after,
        offset,
        limit
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(Message::try_from)
    .collect()
}

/// How many notifications there are, of one member or of all.
pub async fn count(executor: impl PgExecutor<'_>, member_id: Option<MemberId>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM message WHERE $1::bigint IS NULL OR member_id = $1"#,
        member_id.map(MemberId::get)
    )
    .fetch_one(executor)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_to_be_queued_is_hidden_in_a_log_line() {
        let message = NewMessage {
            member_id: MemberId::try_from(1).unwrap(),
            membership_id: MembershipId(Uuid::nil()),
            kind: MessageKind::Welcome,
            phone_no: &PhoneNo("01085581234".to_owned()),
            traceparent: None,
        };
        assert!(!format!("{message:?}").contains("01085581234"));
    }
}
