//! The message service on a real Postgres, with a stub in place of the SMS gateway.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes the helpers of integration tests for production code"
)]

mod batches;
mod claims;
mod document;
mod gateways;
mod http;
mod limits;
mod notices;
mod outages;
mod outcomes;
mod policies;
mod resending;
mod retrying;
mod sending;
mod support;
