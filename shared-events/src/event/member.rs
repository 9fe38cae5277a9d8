//! What the member service publishes.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::identity::{MemberId, MembershipId};

/// Where a member stands. Only `READY` has transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum MemberStatus {
    /// Joined; the welcome notification has not ended yet.
    Ready,
    /// Notified: may earn and use points.
    Normal,
    /// The notification failed: may neither earn nor use points.
    Abnormal,
}

impl MemberStatus {
    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Normal => "NORMAL",
            Self::Abnormal => "ABNORMAL",
        }
    }
}

impl fmt::Display for MemberStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be READY, NORMAL or ABNORMAL")]
pub struct UnknownMemberStatus;

impl FromStr for MemberStatus {
    type Err = UnknownMemberStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "READY" => Ok(Self::Ready),
            "NORMAL" => Ok(Self::Normal),
            "ABNORMAL" => Ok(Self::Abnormal),
            _ => Err(UnknownMemberStatus),
        }
    }
}

/// The whole public state of a member.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberState {
    /// What clients call the member.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// The phone number in digits. Personal data.
    pub phone_no: String,
    /// What the member wants to be called. Personal data.
    pub nickname: String,
    /// Where the member stands.
    pub member_status: MemberStatus,
    /// When the membership began.
    pub joined_at: DateTime<Utc>,
}

impl fmt::Debug for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberState")
            .field("member_id", &self.member_id)
            .field("membership_id", &self.membership_id)
            .field("member_status", &self.member_status)
            .finish_non_exhaustive()
    }
}

/// Somebody became a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct MemberJoined(pub MemberState);

/// A member's status changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct MemberStatusChanged(pub MemberState);

/// A membership ended. Carries no personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberWithdrawn {
    /// What clients called the member.
    pub member_id: MemberId,
    /// The membership that ended.
    pub membership_id: MembershipId,
    /// When it ended.
    pub withdrawn_at: DateTime<Utc>,
}
