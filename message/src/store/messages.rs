//! Notifications, to be looked at.

use chrono::{DateTime, Utc};
use shared_events::{MemberId, MembershipId};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{kind, member_id};
use crate::domain::{Message, PhoneNo};

struct Row {
    message_id: i64,
    member_id: i64,
    membership_id: Uuid,
    kind: String,
    phone_no: Option<String>,
    status: String,
    reason: Option<String>,
    attempts: i32,
    gateway_message_id: Option<String>,
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
            gateway_message_id: row.gateway_message_id,
            queued_at: row.queued_at,
            finished_at: row.finished_at,
        })
    }
}

/// A notification by id.
pub async fn find(executor: impl PgExecutor<'_>, message_id: i64) -> sqlx::Result<Option<Message>> {
    sqlx::query_as!(
        Row,
        "SELECT message_id, member_id, membership_id, kind, phone_no, status, reason, attempts, gateway_message_id,
                queued_at, finished_at
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
        "SELECT message_id, member_id, membership_id, kind, phone_no, status, reason, attempts, gateway_message_id,
                queued_at, finished_at
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
