//! Records as they come from the topic of members.

use rdkafka::Timestamp;
use rdkafka::message::{Header, Headers, OwnedHeaders, OwnedMessage};
use serde_json::Value;
use uuid::Uuid;

use crate::delivery::received::Received;
use crate::envelope::{Envelope, Provenance};
use crate::topic::Topic;

/// A record of `mileage.member`; its offset is the event's sequence.
pub(in crate::delivery) struct Record {
    key: Option<Vec<u8>>,
    headers: OwnedHeaders,
    payload: Vec<u8>,
    offset: i64,
}

/// A `MemberStatusChanged` of a member.
pub(in crate::delivery) fn record(member_id: i64, sequence: i64) -> Record {
    let state = serde_json::json!({
        "memberId": member_id, "membershipId": Uuid::now_v7(), "phoneNo": "01012345678", "nickname": "Kim",
        "memberStatus": "NORMAL", "joinedAt": "2026-03-04T05:06:07Z",
    });
    record_of("MemberStatusChanged", member_id, sequence, &state)
}

/// A `MemberWithdrawn` of a member.
pub(in crate::delivery) fn withdrawal(member_id: i64, sequence: i64) -> Record {
    let payload = serde_json::json!({
        "memberId": member_id, "membershipId": Uuid::now_v7(), "withdrawnAt": "2026-03-04T05:06:07Z",
    });
    record_of("MemberWithdrawn", member_id, sequence, &payload)
}

fn record_of(event_type: &str, member_id: i64, sequence: i64, payload: &Value) -> Record {
    let envelope = Envelope {
        id: Uuid::now_v7(),
        event_type: event_type.to_owned(),
        source: "/member".to_owned(),
        member_id: member_id.try_into().unwrap(),
        sequence,
        time: "2026-03-04T05:06:07Z".parse().unwrap(),
        provenance: Provenance { actor: "operator".to_owned(), traceparent: None },
    };
    Record {
        key: Some(member_id.to_string().into_bytes()),
        headers: envelope.to_headers(),
        payload: payload.to_string().into_bytes(),
        offset: sequence,
    }
}

impl Record {
    pub(in crate::delivery) fn key(self, key: Option<&[u8]>) -> Self {
        Self { key: key.map(<[u8]>::to_vec), ..self }
    }

    pub(in crate::delivery) fn headers(self, headers: OwnedHeaders) -> Self {
        Self { headers, ..self }
    }

    pub(in crate::delivery) fn payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self }
    }

    /// With one more header.
    pub(in crate::delivery) fn with_header(self, key: &str, value: &[u8]) -> Self {
        let headers = self.headers.clone().insert(Header { key, value: Some(value) });
        self.headers(headers)
    }

    /// With the value of one header replaced.
    pub(in crate::delivery) fn header(self, key: &str, value: &[u8]) -> Self {
        let headers = self.headers.iter().fold(OwnedHeaders::new(), |headers, header| {
            let value = if header.key == key { Some(value) } else { header.value };
            headers.insert(Header { key: header.key, value })
        });
        self.headers(headers)
    }

    pub(in crate::delivery) fn received(self) -> Received {
        let Self { key, headers, payload, offset } = self;
        let topic = "mileage.member".to_owned();
        let message =
            OwnedMessage::new(Some(payload), key, topic, Timestamp::NotAvailable, 0, offset, Some(headers));
        Received::new(Topic::Member, &message)
    }
}

pub(in crate::delivery) fn event(member_id: i64, sequence: i64) -> Received {
    record(member_id, sequence).received()
}
