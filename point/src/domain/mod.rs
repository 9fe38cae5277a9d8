//! The rules of point accounts. Pure: no database, network or clock.

pub mod account;
pub mod points;

pub use account::{Account, AccountState, ChangeRefused, EntryType, LedgerEntry, PointChange};
pub use points::{PointOverflow, Points};
