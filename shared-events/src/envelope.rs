//! The envelope of an event: CloudEvents 1.0, Kafka protocol binding, binary mode.

use std::str::{self, FromStr};

use chrono::{DateTime, Utc};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use uuid::Uuid;

use crate::identity::MemberId;

const SPEC_VERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/json";

/// The CloudEvents attributes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// `ce_id`: unique for ever; a re-sent event keeps it.
    pub id: Uuid,
    /// `ce_type`, such as `MemberJoined`.
    pub event_type: String,
    /// `ce_source`, such as `/member`.
    pub source: String,
    /// `ce_subject`, `ce_partitionkey` and the record's key.
    pub member_id: MemberId,
    /// `ce_sequence`: the aggregate's version, counting up per memberId.
    pub sequence: i64,
    /// `ce_time`: when it happened.
    pub time: DateTime<Utc>,
    /// Who asked, and in which trace.
    pub provenance: Provenance,
}

/// Who caused an effect, and in which trace. Stored with every event and ledger entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// `ce_actor`: the principal that asked, such as `operator`.
    pub actor: String,
    /// `traceparent` (W3C Trace Context).
    pub traceparent: Option<String>,
}

/// A record is not an event of this system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A required header is absent or empty.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header cannot be understood.
    #[error("header {0} is malformed")]
    Malformed(&'static str),
    /// Another version of CloudEvents.
    #[error("ce_specversion is not {SPEC_VERSION}")]
    SpecVersion,
}

impl Envelope {
    /// The Kafka headers of this envelope.
    #[must_use]
    pub fn to_headers(&self) -> OwnedHeaders {
        let member_id = self.member_id.to_string();
        let headers = [
            ("ce_specversion", SPEC_VERSION),
            ("ce_id", &self.id.to_string()),
            ("ce_source", &self.source),
            ("ce_type", &self.event_type),
            ("ce_time", &self.time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
            ("ce_subject", &member_id),
            ("ce_partitionkey", &member_id),
            ("ce_sequence", &self.sequence.to_string()),
            ("ce_actor", &self.provenance.actor),
            ("content-type", CONTENT_TYPE),
        ]
        .into_iter()
        .fold(OwnedHeaders::new_with_capacity(11), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        match &self.provenance.traceparent {
            Some(traceparent) => headers.insert(Header { key: "traceparent", value: Some(traceparent) }),
            None => headers,
        }
    }

    /// Reads an envelope from Kafka headers. Unknown headers are ignored.
    ///
    /// # Errors
    /// When a required attribute is missing or cannot be understood.
    pub fn from_headers<H: Headers>(headers: &H) -> Result<Self, EnvelopeError> {
        if required(headers, "ce_specversion")? != SPEC_VERSION {
            return Err(EnvelopeError::SpecVersion);
        }
        Ok(Self {
            id: parsed(headers, "ce_id")?,
            event_type: required(headers, "ce_type")?.to_owned(),
            source: required(headers, "ce_source")?.to_owned(),
            member_id: parsed(headers, "ce_subject")?,
            sequence: parsed(headers, "ce_sequence")?,
            time: parsed(headers, "ce_time")?,
            provenance: Provenance {
                actor: optional(headers, "ce_actor").unwrap_or("unknown").to_owned(),
                traceparent: optional(headers, "traceparent").map(str::to_owned),
            },
        })
    }
}

fn optional<'h, H: Headers>(headers: &'h H, name: &str) -> Option<&'h str> {
    let header = headers.iter().find(|header| header.key == name)?;
    str::from_utf8(header.value?).ok().filter(|text| !text.is_empty())
}

fn required<'h, H: Headers>(headers: &'h H, name: &'static str) -> Result<&'h str, EnvelopeError> {
    optional(headers, name).ok_or(EnvelopeError::Missing(name))
}

fn parsed<H: Headers, T: FromStr>(headers: &H, name: &'static str) -> Result<T, EnvelopeError> {
    required(headers, name)?.parse().map_err(|_| EnvelopeError::Malformed(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            id: Uuid::now_v7(),
            event_type: "MemberJoined".to_owned(),
            source: "/member".to_owned(),
            member_id: MemberId::MAX,
            sequence: 3,
            time: "2026-02-28T23:59:59.123456Z".parse().unwrap(),
            provenance: Provenance { actor: "operator".to_owned(), traceparent: None },
        }
    }

    #[test]
    fn headers_lead_back_to_the_envelope() {
        let mut envelope = envelope();
        assert_eq!(Envelope::from_headers(&envelope.to_headers()), Ok(envelope.clone()));
        envelope.provenance.traceparent =
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        assert_eq!(Envelope::from_headers(&envelope.to_headers()), Ok(envelope));
    }

    #[test]
    fn a_record_without_an_envelope_says_what_is_missing() {
        assert_eq!(
            Envelope::from_headers(&OwnedHeaders::new()),
            Err(EnvelopeError::Missing("ce_specversion"))
        );
        let headers = OwnedHeaders::new()
            .insert(Header { key: "ce_specversion", value: Some("1.0") })
            .insert(Header { key: "ce_id", value: Some("not a uuid") });
        assert_eq!(Envelope::from_headers(&headers), Err(EnvelopeError::Malformed("ce_id")));
    }
}
