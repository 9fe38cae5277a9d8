//! My page on a real Postgres: every interleaving of its topics, and the HTTP contract.

#![allow(clippy::print_stdout, reason = "clippy takes the helpers of integration tests for production code")]

mod document;
mod interleavings;
mod pages;
mod schema;
mod support;
mod transactions;
