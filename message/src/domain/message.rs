//! A notification and how its delivery went.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use shared_events::event::MessageKind;
use shared_events::{MemberId, MembershipId};

use super::phone_no::PhoneNo;

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub message_id: i64,
    /// Whom it is for.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// What it is for. At most one of a kind per membership.
    pub kind: MessageKind,
    /// Where it goes; `None` once erased.
    pub phone_no: Option<PhoneNo>,
    /// How far it is.
    pub status: MessageStatus,
    /// Why it failed, in the gateway's terms.
    pub reason: Option<String>,
    /// How often it was claimed for sending, since it was queued or an operator asked for it again.
    pub attempts: i32,
    /// What the gateway calls it, once accepted.
    pub gateway_message_id: Option<String>,
    /// When it was queued.
    pub queued_at: DateTime<Utc>,
    /// When it reached a status that does not change.
    pub finished_at: Option<DateTime<Utc>>,
}

/// How far a notification is. Only `QUEUED` has transitions, but for an operator's resend: `FAILED` → `QUEUED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum MessageStatus {
    /// Waits to be sent.
    Queued,
    /// The gateway accepted it.
    Sent,
    /// It failed for good.
    Failed,
    /// The member withdrew before it was sent. Publishes nothing.
    Cancelled,
}

impl MessageStatus {
    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Sent => "SENT",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// The text names no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message status")]
pub struct UnknownMessageStatus;

impl FromStr for MessageStatus {
    type Err = UnknownMessageStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Queued, Self::Sent, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(UnknownMessageStatus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_it_is_written() {
        for status in ["QUEUED", "SENT", "FAILED", "CANCELLED"] {
            assert_eq!(status.parse::<MessageStatus>().unwrap().as_str(), status);
        }
        assert_eq!("queued".parse::<MessageStatus>(), Err(UnknownMessageStatus));
    }
}
