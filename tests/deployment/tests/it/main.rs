//! What the project is deployed with, checked without a cluster or a container engine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes the helpers of integration tests for production code"
)]

mod compose;
mod kubernetes;
mod observability;
