//! What the tests stand on.

pub mod client;
pub mod database;
pub mod events;
pub mod log;
pub mod point;
pub mod service;

use std::time::Duration;

pub use log::Log;
pub use point::StubPoint;
pub use service::{Service, applicant};
use tokio::time::{sleep, timeout};

/// More than anything takes, even on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until the condition holds.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("it does not happen: {what}"));
}
