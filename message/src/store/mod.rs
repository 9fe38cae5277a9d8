//! SQL of the message service.

pub mod messages;
