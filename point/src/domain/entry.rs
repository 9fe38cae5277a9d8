//! What is written down in the ledger.

use super::points::Points;

/// What a ledger entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryType {
    /// The points for joining, once per membership.
    Signup,
    /// Points earned at a shop.
    Earn,
    /// Points used at a shop.
    Use,
    /// What was left at the withdrawal.
    Forfeit,
}

impl EntryType {
    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signup => "SIGNUP",
            Self::Earn => "EARN",
            Self::Use => "USE",
            Self::Forfeit => "FORFEIT",
        }
    }
}

/// An entry to be appended to the ledger: never edited, never deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// What it records.
    pub entry_type: EntryType,
    /// How many points; the type says whether they came or went.
    pub amount: Points,
    /// The balance after it.
    pub balance_after: Points,
}

impl LedgerEntry {
    /// What the balance changed by, with its sign.
    #[must_use]
    pub const fn signed_amount(&self) -> i64 {
        match self.entry_type {
            EntryType::Signup | EntryType::Earn => self.amount.get(),
            EntryType::Use | EntryType::Forfeit => -self.amount.get(),
        }
    }
}
