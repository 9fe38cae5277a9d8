//! The contract between the services, and its delivery.
//!
//! The contract: identities ([`MemberId`], [`MembershipId`]), event payloads ([`event`]), the CloudEvents
//! [`envelope`], the [`topic`]s and the precision of [`time`]s. The delivery: transactional outbox and relay, inbox and consumer, and the
//! parking of events that cannot be handled ([`delivery`]).

pub mod delivery;
pub mod envelope;
pub mod event;
mod identity;
pub mod time;
pub mod topic;

pub use envelope::{Envelope, Provenance};
pub use event::Event;
pub use identity::{InvalidMemberId, MemberId, MembershipId};
pub use topic::Topic;
