//! The metrics of point: what each tells, and the series that are shown from the start.

use metrics::{counter, describe_counter};

use crate::domain::EntryType;

const POINTS: &str = "points_booked_total";
const TRANSACTIONS: &str = "point_transactions_total";

/// Describes the metrics and shows every series, so that an alert sees a change and not an appearance.
pub fn start() {
    describe_counter!(POINTS, "Points that were added to balances (credit) or taken from them (debit)");
    describe_counter!(TRANSACTIONS, "Entries of the ledger that were written");
    for entry_type in EntryType::ALL {
        for direction in directions(entry_type) {
            for name in [POINTS, TRANSACTIONS] {
                counter!(name, "type" => entry_type.as_str(), "direction" => *direction).absolute(0);
            }
        }
    }
}

/// Counts a ledger entry; once its transaction has committed.
pub(crate) fn booked(entry_type: EntryType, amount: i64) {
    let direction = if amount < 0 { DEBIT } else { CREDIT };
    let labels = [("type", entry_type.as_str()), ("direction", direction)];
    counter!(POINTS, &labels).increment(amount.unsigned_abs());
    counter!(TRANSACTIONS, &labels).increment(1);
}

const CREDIT: &str = "credit";
const DEBIT: &str = "debit";

const fn directions(entry_type: EntryType) -> &'static [&'static str] {
    match entry_type {
        EntryType::Signup | EntryType::Earn | EntryType::UseCancel => &[CREDIT],
        EntryType::Use | EntryType::EarnCancel | EntryType::Expire | EntryType::Forfeit => &[DEBIT],
        EntryType::Adjust => &[CREDIT, DEBIT],
    }
}
