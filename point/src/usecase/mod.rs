//! One file per command: load → decide → store → outbox, in one transaction.

pub mod expire_points;
pub mod forfeit_points;
pub mod notify_expiry;
pub mod transact;

mod journal;

pub(crate) use journal::Journal;
