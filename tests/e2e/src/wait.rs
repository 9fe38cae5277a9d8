//! Waiting for a condition rather than for a time.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks again and again until the answer is `Ok`, and returns what is in it.
///
/// # Panics
/// When it is still `Err` after a minute, with what was last in it.
pub async fn eventually<T, E, F, Fut>(what: &str, ask: F) -> T
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    eventually_within(DEADLINE, what, ask).await
}

/// As [`eventually`], with another deadline.
///
/// # Panics
/// When it is still `Err` by then, with what was last in it.
#[expect(clippy::panic, reason = "a test that waits in vain has failed")]
pub async fn eventually_within<T, E, F, Fut>(deadline: Duration, what: &str, ask: F) -> T
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    match try_within(deadline, ask).await {
        Ok(answer) => answer,
        Err(error) => panic!("{what}: still not so: {error}"),
    }
}

/// As [`eventually`], but returns what is in the last `Err` after a minute.
pub(crate) async fn try_eventually<T, E, F, Fut>(ask: F) -> Result<T, E>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    try_within(DEADLINE, ask).await
}

async fn try_within<T, E, F, Fut>(deadline: Duration, mut ask: F) -> Result<T, E>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let start = Instant::now();
    loop {
        let asked = ask().await;
        if asked.is_ok() || start.elapsed() >= deadline {
            return asked;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
