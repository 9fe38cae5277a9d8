//! The rules of notifications. Pure: no database, network or clock.

pub mod message;

pub use message::{Delivery, Message, MessageStatus, PhoneNo, backoff, body};
