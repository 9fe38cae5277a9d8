//! The rules of point accounts. Pure: no database, network or clock.

pub mod account;
pub mod cancellation;
pub mod change;
pub mod entry;
pub mod holder;
pub mod holding;
pub mod lot;
pub mod notice;
pub mod points;
pub mod validity;

pub use account::{Account, AccountState, ChangeRefused, Forfeiture};
pub use cancellation::{CancelRefused, Original, Share, SpentPolicy};
pub use change::PointChange;
pub use entry::{Booking, EntryType, LotChange, LotId, NewLot, TransactionId};
pub use holder::Holder;
pub use holding::{Followed, Holding};
pub use lot::{Lot, Lots};
pub use notice::NoticeStage;
pub use points::{PointOverflow, Points};
pub use validity::Validity;

#[cfg(test)]
mod properties;
