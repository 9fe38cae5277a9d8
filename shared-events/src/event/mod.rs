//! The events: past-tense facts that carry state, so that a consumer never has to call back.
//!
//! Payloads only ever gain optional fields; `schemas/` holds the committed JSON Schema of each.

pub mod compatibility;
pub mod member;
pub mod message;
pub mod point;

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::identity::MemberId;
use crate::topic::Topic;
pub use member::{MemberJoined, MemberState, MemberStatus, MemberStatusChanged, MemberWithdrawn};
pub use message::{MessageFailed, MessageKind, MessageSent};
pub use point::{
    LotPart, NextExpiration, PointsAdjusted, PointsEarned, PointsExpired, PointsExpiring, PointsForfeited,
    PointsRestored, PointsUsed,
};

/// A payload with its CloudEvents type and the topic it is published on.
pub trait Payload: Serialize + DeserializeOwned + JsonSchema + Send + Sync {
    /// The CloudEvents `type`.
    const TYPE: &'static str;
    /// Where it is published.
    const TOPIC: Topic;
}

macro_rules! events {
    ($($name:ident on $topic:ident, about $subject:expr;)+) => {
        $(impl Payload for $name {
            const TYPE: &'static str = stringify!($name);
            const TOPIC: Topic = Topic::$topic;
        })+

        /// Any event of the contract, decoded.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each variant is documented at its payload")]
        pub enum Event {
            $($name($name),)+
            /// A type that this version does not know: to be ignored and counted.
            Unknown,
        }

        impl Event {
            /// Whether this version knows a CloudEvents type.
            #[must_use]
            pub fn is_known(event_type: &str) -> bool {
                [$(stringify!($name)),+].contains(&event_type)
            }

            /// Decodes a payload by its CloudEvents type.
            ///
            /// # Errors
            /// When the type is known and the payload is not of its shape.
            pub fn decode(event_type: &str, payload: &[u8]) -> Result<Self, serde_json::Error> {
                match event_type {
                    $(stringify!($name) => serde_json::from_slice(payload).map(Self::$name),)+
                    _ => Ok(Self::Unknown),
                }
            }
        }

        impl Event {
            /// The member it is about; `None` when the type is not known.
            #[must_use]
            pub fn member_id(&self) -> Option<MemberId> {
                match self {
                    $(Self::$name(event) => {
                        let subject: fn(&$name) -> MemberId = $subject;
                        Some(subject(event))
                    })+
                    Self::Unknown => None,
                }
            }
        }

        /// The JSON Schema of every payload, by event type.
        #[must_use]
        pub fn schemas() -> Vec<(&'static str, Schema)> {
            vec![$((stringify!($name), schema_for!($name))),+]
        }
    };
}

events! {
    MemberJoined on Member, about |event| event.0.member_id;
    MemberStatusChanged on Member, about |event| event.0.member_id;
    MemberWithdrawn on Member, about |event| event.member_id;
    MessageSent on Message, about |event| event.member_id;
    MessageFailed on Message, about |event| event.member_id;
    PointsEarned on Point, about |event| event.member_id;
    PointsUsed on Point, about |event| event.member_id;
    PointsForfeited on Point, about |event| event.member_id;
    PointsExpired on Point, about |event| event.member_id;
    PointsRestored on Point, about |event| event.member_id;
    PointsAdjusted on Point, about |event| event.member_id;
    PointsExpiring on Point, about |event| event.member_id;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_types_and_fields_are_ignored() {
        assert_eq!(Event::decode("MemberPromoted", b"not even json").unwrap(), Event::Unknown);
        let payload = br#"{"memberId":1,"membershipId":"0190b3c5-0000-7000-8000-000000000000",
            "withdrawnAt":"2026-01-01T00:00:00Z","addedLater":{"a":[1]}}"#;
        assert!(matches!(Event::decode("MemberWithdrawn", payload).unwrap(), Event::MemberWithdrawn(_)));
    }

    #[test]
    fn a_known_type_with_another_shape_is_an_error() {
        assert!(Event::decode("MemberWithdrawn", br#"{"memberId":"one"}"#).is_err());
        assert!(Event::decode("MemberWithdrawn", br#"{"memberId":0}"#).is_err());
    }
}
