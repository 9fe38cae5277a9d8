//! One file per command.

pub mod claim_messages;
pub mod finish_message;
pub mod resend_message;
