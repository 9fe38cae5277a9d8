//! One file per command: load → decide → store → outbox, in one transaction.

pub mod join;
pub mod republish_withdrawals;
pub mod withdraw;
