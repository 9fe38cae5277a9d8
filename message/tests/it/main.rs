//! The message service on a real Postgres, with a stub in place of the SMS gateway.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes the helpers of integration tests for production code"
)]

mod claims;
mod http;
mod outages;
mod policies;
mod sending;
mod support;
