//! The point service on a real Postgres: HTTP contract, policies, forfeitures, ledger and concurrency.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy takes the helpers of integration tests for production code"
)]

mod bad_input;
mod batches;
mod cancellations;
mod concurrency;
mod conditional;
mod document;
mod expiry;
mod forfeitures;
mod groups;
mod idempotency;
mod ledger;
mod member_changed;
mod notices;
mod points;
mod reconcile;
mod schema;
mod support;
mod transactions;
