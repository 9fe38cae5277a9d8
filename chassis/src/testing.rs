//! For the tests of services: the feature `testing`, to be enabled in `[dev-dependencies]` and nowhere else.
//!
//! A mistake of the test panics, as in any test.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes the helpers of tests for production code"
)]

mod client;
mod database;
mod document;
mod gate;
mod log;

use std::time::Duration;

use tokio::time::{sleep, timeout};

pub use client::{Answer, ask, bare, with_body};
pub use database::TestDatabase;
pub use document::assert_committed;
pub use gate::{Gate, ask_together};
pub use log::Log;

/// More than anything takes, even on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until the condition holds.
///
/// # Panics
/// When it does not within [`DEADLINE`].
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("it does not happen: {what}"));
}
