//! The rules of point accounts. Pure: no database, network or clock.

pub mod account;
pub mod change;
pub mod entry;
pub mod holder;
pub mod points;

pub use account::{Account, AccountState, ChangeRefused, Forfeiture};
pub use change::PointChange;
pub use entry::{EntryType, LedgerEntry};
pub use holder::Holder;
pub use points::{PointOverflow, Points};
