//! An example of every event: one membership from joining to withdrawal.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared_events::event::{
    LotPart, MemberJoined, MemberState, MemberStatus, MemberStatusChanged, MemberWithdrawn, MessageFailed,
    MessageKind, MessageSent, NextExpiration, Payload, PointsAdjusted, PointsEarned, PointsExpired,
    PointsExpiring, PointsForfeited, PointsRestored, PointsUsed,
};
use shared_events::{Envelope, MemberId, MembershipId, Provenance, Topic};
use uuid::Uuid;

/// Of the W3C's recommendation.
pub const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// An event as it is published.
#[derive(Debug)]
pub struct Example {
    /// The CloudEvents type.
    pub event_type: &'static str,
    /// Where it is published.
    pub topic: Topic,
    /// What it says of itself.
    pub description: String,
    /// The headers.
    pub envelope: Envelope,
    /// The payload.
    pub payload: Value,
}

fn example<P: Payload>(sequence: i64, time: DateTime<Utc>, payload: &P) -> Example {
    let schema = schemars::schema_for!(P).to_value();
    let number = u128::try_from(sequence).expect("a version");
    Example {
        event_type: P::TYPE,
        topic: P::TOPIC,
        description: schema["description"].as_str().expect("a documented payload").to_owned(),
        envelope: Envelope {
            id: Uuid::from_u128(EVENT_ID + number),
            event_type: P::TYPE.to_owned(),
            source: format!("/{}", P::TOPIC.suffix()),
            member_id: member_id(),
            sequence,
            time,
            provenance: Provenance {
                actor: "operator".to_owned(),
                traceparent: Some(TRACEPARENT.to_owned()),
            },
        },
        payload: serde_json::to_value(payload).expect("a payload is JSON"),
    }
}

const EVENT_ID: u128 = 0x0190_b3c5_6f00_7000_8000_0000_0000_0000;

fn member_id() -> MemberId {
    MemberId::try_from(1).expect("a memberId")
}

fn membership_id() -> MembershipId {
    MembershipId(Uuid::from_u128(0x0190_b3c5_6e9a_7c41_9b1e_5f3c_2a7d_8e60))
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn state(member_status: MemberStatus) -> MemberState {
    MemberState {
        member_id: member_id(),
        membership_id: membership_id(),
        phone_no: "01085581234".to_owned(),
        nickname: "SEQ1".to_owned(),
        member_status,
        joined_at: at("2026-03-02T09:00:00Z"),
    }
}

/// One of each type.
pub fn examples() -> Vec<Example> {
    [member_events(), message_events(), balance_events(), lot_events()].into_iter().flatten().collect()
}

fn member_events() -> Vec<Example> {
    let withdrawn_at = at("2026-06-01T03:00:00Z");
    vec![
        example(1, at("2026-03-02T09:00:00Z"), &MemberJoined(state(MemberStatus::Ready))),
        example(2, at("2026-03-02T09:00:01Z"), &MemberStatusChanged(state(MemberStatus::Normal))),
        example(
            3,
            withdrawn_at,
            &MemberWithdrawn { member_id: member_id(), membership_id: membership_id(), withdrawn_at },
        ),
    ]
}

fn message_events() -> Vec<Example> {
    let (sent_at, failed_at) = (at("2026-03-02T09:00:01Z"), at("2026-05-29T15:00:00Z"));
    let sent = MessageSent {
        message_id: 1,
        member_id: member_id(),
        membership_id: membership_id(),
        kind: MessageKind::Welcome,
        sent_at,
    };
    let failed = MessageFailed {
        message_id: 2,
        member_id: member_id(),
        membership_id: membership_id(),
        kind: MessageKind::ExpiryNotice,
        reason: "SOLAPI 3032".to_owned(),
        failed_at,
    };
    vec![example(1, sent_at, &sent), example(2, failed_at, &failed)]
}

const SIGNUP_LOT: i64 = 1;
const EARNED_LOT: i64 = 2;

fn lot(lot_id: i64, points: i64) -> LotPart {
    LotPart { lot_id, points, expires_at: lot_end(lot_id) }
}

fn lot_end(lot_id: i64) -> DateTime<Utc> {
    at(if lot_id == SIGNUP_LOT { "2031-03-31T15:00:00Z" } else { "2026-05-31T15:00:00Z" })
}

fn next(lot_id: i64, points: i64) -> Option<NextExpiration> {
    Some(NextExpiration { points, expires_at: lot_end(lot_id) })
}

fn balance_events() -> Vec<Example> {
    let (member_id, membership_id) = (member_id(), membership_id());
    let (earned_at, used_at, restored_at, adjusted_at) = (
        at("2026-03-03T01:00:00Z"),
        at("2026-03-04T01:00:00Z"),
        at("2026-03-05T01:00:00Z"),
        at("2026-03-06T01:00:00Z"),
    );
    let earned = PointsEarned {
        member_id,
        membership_id,
        amount: 500,
        remain_point: 1_500,
        entry_type: "EARN".to_owned(),
        occurred_at: earned_at,
        transaction_id: Some(2),
        reference: Some("R-1".to_owned()),
        lots: Some(vec![lot(EARNED_LOT, 500)]),
        next_expiration: next(EARNED_LOT, 500),
    };
    let used = PointsUsed {
        member_id,
        membership_id,
        amount: 300,
        remain_point: 1_200,
        occurred_at: used_at,
        transaction_id: Some(3),
        reference: Some("R-2".to_owned()),
        lots: Some(vec![lot(EARNED_LOT, -300)]),
        next_expiration: next(EARNED_LOT, 200),
    };
    let restored = PointsRestored {
        member_id,
        membership_id,
        amount: 100,
        remain_point: 1_300,
        occurred_at: restored_at,
        transaction_id: 4,
        refers_to: Some(3),
        reference: Some("R-2".to_owned()),
        lots: vec![lot(EARNED_LOT, 100)],
        next_expiration: next(EARNED_LOT, 300),
    };
    let adjusted = PointsAdjusted {
        member_id,
        membership_id,
        amount: -50,
        remain_point: 1_250,
        entry_type: "ADJUST".to_owned(),
        occurred_at: adjusted_at,
        transaction_id: 5,
        refers_to: None,
        reference: None,
        lots: vec![lot(EARNED_LOT, -50)],
        next_expiration: next(EARNED_LOT, 250),
    };
    vec![
        example(3, earned_at, &earned),
        example(4, used_at, &used),
        example(5, restored_at, &restored),
        example(6, adjusted_at, &adjusted),
    ]
}

/// What becomes of points that nobody uses.
fn lot_events() -> Vec<Example> {
    let (member_id, membership_id) = (member_id(), membership_id());
    let (noticed_at, expired_at, forfeited_at) =
        (at("2026-05-28T15:00:00Z"), at("2026-05-31T15:00:00Z"), at("2026-06-01T03:00:00Z"));
    let expiring = PointsExpiring {
        member_id,
        membership_id,
        points: 250,
        expires_at: lot_end(EARNED_LOT),
        stage: "THREE_DAYS".to_owned(),
        remain_point: 1_250,
        next_expiration: next(EARNED_LOT, 250),
        occurred_at: noticed_at,
    };
    let expired = PointsExpired {
        member_id,
        membership_id,
        amount: 250,
        remain_point: 1_000,
        occurred_at: expired_at,
        transaction_id: 6,
        lots: vec![lot(EARNED_LOT, -250)],
        next_expiration: next(SIGNUP_LOT, 1_000),
    };
    let forfeited = PointsForfeited {
        member_id,
        membership_id,
        amount: 1_000,
        remain_point: 0,
        occurred_at: forfeited_at,
        transaction_id: Some(7),
        lots: Some(vec![lot(SIGNUP_LOT, -1_000)]),
    };
    vec![
        example(6, noticed_at, &expiring),
        example(7, expired_at, &expired),
        example(8, forfeited_at, &forfeited),
    ]
}
