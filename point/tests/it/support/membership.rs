//! What the member service tells of a membership.

use shared_events::event::{MemberJoined, MemberState, MemberStatus, MemberStatusChanged};
use shared_events::{Envelope, Event, MemberId, MembershipId, Provenance};
use uuid::Uuid;

use super::{EVENT_ACTOR, now};

/// A membership and what the member service says of it.
#[derive(Clone, Copy, Debug)]
pub struct Membership {
    pub member_id: i64,
    pub id: MembershipId,
}

impl Membership {
    pub fn of(member_id: i64) -> Self {
        Self { member_id, id: MembershipId(Uuid::now_v7()) }
    }

    /// An event that says: this is the member's status, at this version.
    pub fn is(self, member_status: MemberStatus, version: i64) -> (Envelope, Event) {
        let state = MemberState {
            member_id: MemberId::try_from(self.member_id).expect("a memberId"),
            membership_id: self.id,
            phone_no: "01012345678".to_owned(),
            nickname: "SEQ1".to_owned(),
            member_status,
            joined_at: now(),
        };
        let (event_type, event) = match member_status {
            MemberStatus::Ready => ("MemberJoined", Event::MemberJoined(MemberJoined(state.clone()))),
            MemberStatus::Normal | MemberStatus::Abnormal => {
                ("MemberStatusChanged", Event::MemberStatusChanged(MemberStatusChanged(state.clone())))
            }
        };
        let envelope = Envelope {
            id: Uuid::now_v7(),
            event_type: event_type.to_owned(),
            source: "/member".to_owned(),
            member_id: state.member_id,
            sequence: version,
            time: now(),
            provenance: Provenance { actor: EVENT_ACTOR.to_owned(), traceparent: None },
        };
        (envelope, event)
    }
}
