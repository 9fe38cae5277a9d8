//! One file per command.

pub mod finish_message;
