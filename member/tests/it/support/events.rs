//! Events that come in, and those that go out.

use chrono::Utc;
use serde_json::Value;
use shared_events::event::{MessageFailed, MessageKind, MessageSent, PointsForfeited};
use shared_events::{Envelope, Event, MemberId, MembershipId, Provenance};
use sqlx::PgPool;
use uuid::Uuid;

/// A row of the outbox.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Published {
    #[sqlx(rename = "type")]
    pub event_type: String,
    pub topic: String,
    pub key: String,
    pub sequence: i64,
    pub membership_id: Uuid,
    #[sqlx(json)]
    pub payload: Value,
    pub traceparent: Option<String>,
    pub actor: String,
}

impl Published {
    /// Type and version.
    pub fn summary(&self) -> (&str, i64) {
        (&self.event_type, self.sequence)
    }
}

/// What waits to be published, in order.
pub async fn published(pool: &PgPool) -> Vec<Published> {
    sqlx::query_as(
        "SELECT type, topic, key, sequence, membership_id, payload::json AS payload, traceparent, actor
         FROM outbox ORDER BY id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Types and versions of what waits to be published, in order.
pub async fn summaries(pool: &PgPool) -> Vec<(String, i64)> {
    let published = published(pool).await;
    published.into_iter().map(|event| (event.event_type, event.sequence)).collect()
}

/// The envelope in which an event about a member arrives.
pub fn envelope(member_id: i64) -> Envelope {
    Envelope {
        id: Uuid::now_v7(),
        event_type: "of no importance here".to_owned(),
        source: "/test".to_owned(),
        member_id: MemberId::try_from(member_id).unwrap(),
        sequence: 1,
        time: Utc::now(),
        provenance: Provenance { actor: "service:test".to_owned(), traceparent: None },
    }
}

pub fn message_sent(member_id: i64, membership_id: MembershipId) -> Event {
    message_sent_of(MessageKind::Welcome, member_id, membership_id)
}

pub fn message_sent_of(kind: MessageKind, member_id: i64, membership_id: MembershipId) -> Event {
    Event::MessageSent(MessageSent {
        message_id: 1,
        member_id: MemberId::try_from(member_id).unwrap(),
        membership_id,
        kind,
        sent_at: Utc::now(),
    })
}

pub fn message_failed(member_id: i64, membership_id: MembershipId) -> Event {
    message_failed_of(MessageKind::Welcome, member_id, membership_id)
}

pub fn message_failed_of(kind: MessageKind, member_id: i64, membership_id: MembershipId) -> Event {
    Event::MessageFailed(MessageFailed {
        message_id: 1,
        member_id: MemberId::try_from(member_id).unwrap(),
        membership_id,
        kind,
        reason: "refused".to_owned(),
        failed_at: Utc::now(),
    })
}

pub fn points_forfeited(member_id: i64, membership_id: MembershipId) -> Event {
    Event::PointsForfeited(PointsForfeited {
        member_id: MemberId::try_from(member_id).unwrap(),
        membership_id,
        amount: 1_000,
        remain_point: 0,
        occurred_at: Utc::now(),
        transaction_id: None,
        lots: None,
    })
}
