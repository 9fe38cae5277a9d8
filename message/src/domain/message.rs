//! A notification and how its delivery went.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use shared_events::event::MessageKind;
use shared_events::{MemberId, MembershipId};

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
    /// How often it was claimed for sending.
    pub attempts: i32,
    /// When it was queued.
    pub queued_at: DateTime<Utc>,
    /// When it reached a status that does not change.
    pub finished_at: Option<DateTime<Utc>>,
}

/// How far a notification is. Only `QUEUED` has transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
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

/// A phone number in digits, as the member service keeps it. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct PhoneNo(pub String);

impl fmt::Debug for PhoneNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNo(****)")
    }
}

/// What an attempt to send came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The gateway accepted it.
    Sent,
    /// It will never be accepted.
    Failed {
        /// Why, in the gateway's terms; never the phone number.
        reason: String,
    },
    /// It may be accepted later.
    Postponed {
        /// Why.
        reason: String,
    },
}

/// How long to wait before the next attempt: doubling from half a second up to a minute.
#[must_use]
pub fn backoff(attempts: i32) -> TimeDelta {
    const FIRST_MS: i64 = 500;
    let doublings = attempts.saturating_sub(1).clamp(0, 7).unsigned_abs();
    TimeDelta::milliseconds(FIRST_MS << doublings).min(TimeDelta::minutes(1))
}

/// The text of a notification.
#[must_use]
pub const fn body(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Welcome | MessageKind::Unknown => "[마일리지] 회원 가입을 환영합니다.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_doubles_up_to_a_minute() {
        let waits: Vec<i64> = (1..=9).map(|attempts| backoff(attempts).num_milliseconds()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(backoff(i32::MAX), TimeDelta::minutes(1));
        assert_eq!(backoff(0), TimeDelta::milliseconds(500));
    }

    #[test]
    fn a_status_is_read_as_it_is_written() {
        for status in ["QUEUED", "SENT", "FAILED", "CANCELLED"] {
            assert_eq!(status.parse::<MessageStatus>().unwrap().as_str(), status);
        }
        assert_eq!("queued".parse::<MessageStatus>(), Err(UnknownMessageStatus));
    }

    #[test]
    fn a_phone_number_is_hidden_in_a_log_line() {
        assert_eq!(format!("{:?}", PhoneNo("01085581234".to_owned())), "PhoneNo(****)");
    }
}
