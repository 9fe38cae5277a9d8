//! Events that come in, and those that go out.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared_events::event::{
    MemberJoined, MemberState, MemberStatus, MemberStatusChanged, MemberWithdrawn, PointsExpiring,
};
use shared_events::{Envelope, Event, MemberId, MembershipId, Provenance};
use sqlx::PgPool;
use uuid::Uuid;

pub const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

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

/// The envelope in which an event about a member arrives.
pub fn envelope(member_id: i64) -> Envelope {
    Envelope {
        id: Uuid::now_v7(),
        event_type: "of no importance here".to_owned(),
        source: "/test".to_owned(),
        member_id: MemberId::try_from(member_id).unwrap(),
        sequence: 1,
        time: Utc::now(),
        provenance: Provenance { actor: "operator".to_owned(), traceparent: Some(TRACEPARENT.to_owned()) },
    }
}

/// A member with a phone number made of the id.
fn state(member_id: i64, membership_id: MembershipId, member_status: MemberStatus) -> MemberState {
    MemberState {
        member_id: MemberId::try_from(member_id).unwrap(),
        membership_id,
        phone_no: format!("010{member_id:08}"),
        nickname: format!("SEQ{member_id}"),
        member_status,
        joined_at: DateTime::UNIX_EPOCH,
    }
}

pub fn joined(member_id: i64, membership_id: MembershipId) -> Event {
    Event::MemberJoined(MemberJoined(state(member_id, membership_id, MemberStatus::Ready)))
}

pub fn status_changed(member_id: i64, membership_id: MembershipId, status: MemberStatus) -> Event {
    Event::MemberStatusChanged(MemberStatusChanged(state(member_id, membership_id, status)))
}

/// Points that expire at a time.
pub fn expiring(
    member_id: i64,
    membership_id: MembershipId,
    expires_at: DateTime<Utc>,
    stage: &str,
) -> Event {
    Event::PointsExpiring(PointsExpiring {
        member_id: MemberId::try_from(member_id).unwrap(),
        membership_id,
        points: 500,
        expires_at,
        stage: stage.to_owned(),
        remain_point: 1_500,
        next_expiration: None,
        occurred_at: Utc::now(),
    })
}

pub fn withdrawn(member_id: i64, membership_id: MembershipId) -> Event {
    Event::MemberWithdrawn(MemberWithdrawn {
        member_id: MemberId::try_from(member_id).unwrap(),
        membership_id,
        withdrawn_at: Utc::now(),
    })
}
