//! The member service on a real Postgres, with a stub in place of the point service.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes the helpers of integration tests for production code"
)]

mod bad_input;
mod batches;
mod document;
mod groups;
mod idempotency;
mod joining;
mod listing;
mod outages;
mod policies;
mod protection;
mod rejoining;
mod republishing;
mod rude_clients;
mod support;
mod uniqueness;
mod withdrawal;
mod withdrawal_failures;
mod withdrawal_patience;
