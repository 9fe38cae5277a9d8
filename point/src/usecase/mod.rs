//! One file per command: load → decide → store → outbox, in one transaction.

pub mod change_points;
pub mod forfeit_points;

mod booking;

pub(crate) use booking::book_in_tx;
