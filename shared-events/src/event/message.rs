//! What the message service publishes.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::identity::{MemberId, MembershipId};

/// What a notification is for. At most one of a kind, and of an occasion, is sent per membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageKind {
    /// Greets a new member. Its end decides between NORMAL and ABNORMAL.
    Welcome,
    /// Tells that points expire soon. However it ends, no status changes.
    ExpiryNotice,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

impl MessageKind {
    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Welcome => "WELCOME",
            Self::ExpiryNotice => "EXPIRY_NOTICE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The gateway accepted a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageSent {
    /// The notification.
    pub message_id: i64,
    /// Whom it was for.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// What it was for.
    pub kind: MessageKind,
    /// When the gateway accepted it.
    pub sent_at: DateTime<Utc>,
}

/// A notification failed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageFailed {
    /// The notification.
    pub message_id: i64,
    /// Whom it was for.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// What it was for.
    pub kind: MessageKind,
    /// Why, in the gateway's terms; never the phone number.
    pub reason: String,
    /// When it was given up.
    pub failed_at: DateTime<Utc>,
}
