//! What the point service publishes. Amounts and balances are in points.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::identity::{MemberId, MembershipId};

/// What a transaction did to one lot: points that were earned together and expire together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LotPart {
    /// Which lot.
    pub lot_id: i64,
    /// How many points came to it, or went from it (negative).
    pub points: i64,
    /// From when on its points are no longer valid.
    pub expires_at: DateTime<Utc>,
}

/// What of an account expires next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextExpiration {
    /// How many points.
    pub points: i64,
    /// From when on they are no longer valid.
    pub expires_at: DateTime<Utc>,
}

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
    /// The transaction.
    #[serde(default)]
    pub transaction_id: Option<i64>,
    /// The shop's receipt.
    #[serde(default)]
    pub reference: Option<String>,
    /// What it did to lots; empty where it was more than 5,000: they are with the transaction.
    #[serde(default)]
    pub lots: Option<Vec<LotPart>>,
    /// What expires next after it; none when nothing is left.
    #[serde(default)]
    pub next_expiration: Option<NextExpiration>,
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
    /// The transaction.
    #[serde(default)]
    pub transaction_id: Option<i64>,
    /// The shop's receipt.
    #[serde(default)]
    pub reference: Option<String>,
    /// What it did to lots; empty where it was more than 5,000: they are with the transaction.
    #[serde(default)]
    pub lots: Option<Vec<LotPart>>,
    /// What expires next after it; none when nothing is left.
    #[serde(default)]
    pub next_expiration: Option<NextExpiration>,
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
    /// The transaction; none when nothing was left.
    #[serde(default)]
    pub transaction_id: Option<i64>,
    /// What it did to lots; empty where it was more than 5,000: they are with the transaction.
    #[serde(default)]
    pub lots: Option<Vec<LotPart>>,
}

/// Points were not used in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointsExpired {
    /// Whose account.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// What expired, > 0.
    pub amount: i64,
    /// The balance after it.
    pub remain_point: i64,
    /// When that was found.
    pub occurred_at: DateTime<Utc>,
    /// The transaction.
    pub transaction_id: i64,
    /// What it did to lots; empty where it was more than 5,000: they are with the transaction.
    pub lots: Vec<LotPart>,
    /// What expires next after it; none when nothing is left.
    #[serde(default)]
    pub next_expiration: Option<NextExpiration>,
}

/// A use was cancelled, all or in part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointsRestored {
    /// Whose account.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// What was given back, > 0.
    pub amount: i64,
    /// The balance after it.
    pub remain_point: i64,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// The transaction.
    pub transaction_id: i64,
    /// The transaction that it cancels.
    #[serde(default)]
    pub refers_to: Option<i64>,
    /// The shop's receipt, of the transaction that it cancels.
    #[serde(default)]
    pub reference: Option<String>,
    /// What it did to lots; empty where it was more than 5,000: they are with the transaction.
    pub lots: Vec<LotPart>,
    /// What expires next after it; none when nothing is left.
    #[serde(default)]
    pub next_expiration: Option<NextExpiration>,
}

/// A balance was put right: an earning was cancelled, or an operator adjusted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointsAdjusted {
    /// Whose account.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// What the balance changed by, not 0.
    pub amount: i64,
    /// The balance after it.
    pub remain_point: i64,
    /// The ledger entry's type: `EARN_CANCEL` or `ADJUST`.
    pub entry_type: String,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// The transaction.
    pub transaction_id: i64,
    /// The transaction that it cancels.
    #[serde(default)]
    pub refers_to: Option<i64>,
    /// The shop's receipt, of the transaction that it cancels.
    #[serde(default)]
    pub reference: Option<String>,
    /// What it did to lots; empty where it was more than 5,000: they are with the transaction.
    pub lots: Vec<LotPart>,
    /// What expires next after it; none when nothing is left.
    #[serde(default)]
    pub next_expiration: Option<NextExpiration>,
}

/// Points expire soon. Nothing has changed: it carries the version and the state of the account as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointsExpiring {
    /// Whose account.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// How many points expire, > 0.
    pub points: i64,
    /// From when on they are no longer valid.
    pub expires_at: DateTime<Utc>,
    /// How long before: `TWO_MONTHS`, `ONE_MONTH` or `THREE_DAYS`.
    pub stage: String,
    /// The balance.
    pub remain_point: i64,
    /// What expires next.
    #[serde(default)]
    pub next_expiration: Option<NextExpiration>,
    /// When this was noticed.
    pub occurred_at: DateTime<Utc>,
}
