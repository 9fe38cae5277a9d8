//! What is written down in the ledger.

use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::points::Points;

/// Names a ledger entry: to clients, a transaction.
pub type TransactionId = i64;

/// Names a lot.
pub type LotId = i64;

/// What a ledger entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryType {
    /// The points for joining, once per membership.
    Signup,
    /// Points earned at a shop.
    Earn,
    /// An earning that was taken back.
    EarnCancel,
    /// Points used at a shop.
    Use,
    /// A use that was given back.
    UseCancel,
    /// Points that were not used in time.
    Expire,
    /// What was left at the withdrawal.
    Forfeit,
    /// What an operator put right.
    Adjust,
}

impl EntryType {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Signup,
        Self::Earn,
        Self::EarnCancel,
        Self::Use,
        Self::UseCancel,
        Self::Expire,
        Self::Forfeit,
        Self::Adjust,
    ];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signup => "SIGNUP",
            Self::Earn => "EARN",
            Self::EarnCancel => "EARN_CANCEL",
            Self::Use => "USE",
            Self::UseCancel => "USE_CANCEL",
            Self::Expire => "EXPIRE",
            Self::Forfeit => "FORFEIT",
            Self::Adjust => "ADJUST",
        }
    }
}

/// The text names no type of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a type of transaction")]
pub struct UnknownEntryType;

impl FromStr for EntryType {
    type Err = UnknownEntryType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|entry_type| entry_type.as_str() == text).ok_or(UnknownEntryType)
    }
}

/// A change of an account, to be written down: never edited, never deleted. The balance changes by the sum of what
/// becomes of its lots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// What it records.
    pub entry_type: EntryType,
    /// What the balance changed by, not 0.
    pub amount: i64,
    /// The balance after it.
    pub balance_after: Points,
    /// The transaction that it cancels.
    pub refers_to: Option<TransactionId>,
    /// What was taken from lots (negative) or given back to them.
    pub lot_changes: Vec<LotChange>,
    /// The lots that it makes.
    pub new_lots: Vec<NewLot>,
}

/// What was taken from a lot (negative) or given back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LotChange {
    /// Which lot.
    pub lot_id: LotId,
    /// By how many points it changed, not 0.
    pub amount: i64,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

/// A lot to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLot {
    /// How many points, > 0.
    pub amount: Points,
    /// When they were earned.
    pub earned_at: DateTime<Utc>,
    /// From when on they are no longer valid.
    pub expires_at: DateTime<Utc>,
    /// The expired lot whose points it gives back.
    pub replaces: Option<LotId>,
}
