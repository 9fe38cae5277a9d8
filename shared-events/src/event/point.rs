//! What the point service publishes. Amounts and balances are in points.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::identity::{MemberId, MembershipId};

/// Points were added to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointsEarned {
    /// Whose account.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// What was added, > 0.
    pub amount: i64,
    /// The balance after it.
    pub remain_point: i64,
    /// The ledger entry's type: `SIGNUP` or `EARN`.
    pub entry_type: String,
    /// When.
    pub occurred_at: DateTime<Utc>,
}

/// Points were spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointsUsed {
    /// Whose account.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// What was spent, > 0.
    pub amount: i64,
    /// The balance after it.
    pub remain_point: i64,
    /// When.
    pub occurred_at: DateTime<Utc>,
}

/// An account was closed and what was left on it is forfeited: the pivot of a withdrawal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointsForfeited {
    /// Whose account.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// What was forfeited, ≥ 0.
    pub amount: i64,
    /// The balance after it: always 0.
    pub remain_point: i64,
    /// When.
    pub occurred_at: DateTime<Utc>,
}
