//! Parked events: what cannot be handled waits in the consumer's own schema, with what follows it of its topic and
//! key, until somebody redrives or drops it from the command line.
//!
//! A `MemberWithdrawn` waits for nothing: it takes the place of what is parked of its member, as compaction of the topic
//! would have it, and so no personal data stays behind.

mod command;
mod depth;
mod redrive;
mod store;
mod table;
#[cfg(test)]
mod tests;

pub use command::DeliveryCommand;
pub(super) use depth::watch_depth;
pub(super) use store::{BEHIND_PARKED, has_to_wait_in_tx, park_in_tx};
