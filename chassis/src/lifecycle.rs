//! Where the process is in its life: starting, started or draining.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const STARTING: u8 = 0;
const STARTED: u8 = 1;
const DRAINING: u8 = 2;

/// Where the process is in its life. Clones share the state; it only moves forward.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle(Arc<AtomicU8>);

impl Lifecycle {
    /// A process that has started already, for tests.
    pub fn started() -> Self {
        let lifecycle = Self::default();
        lifecycle.start();
        lifecycle
    }

    /// Migrations are done: requests are served. Draining stays draining.
    pub fn start(&self) {
        self.0.fetch_max(STARTED, Ordering::SeqCst);
    }

    /// Shutdown has begun: not ready any more, but still serving.
    pub fn drain(&self) {
        self.0.fetch_max(DRAINING, Ordering::SeqCst);
    }

    /// Whether the start-up is over; also true while draining.
    pub fn is_started(&self) -> bool {
        self.0.load(Ordering::Relaxed) != STARTING
    }

    /// Whether the shutdown has begun.
    pub fn is_draining(&self) -> bool {
        self.0.load(Ordering::Relaxed) == DRAINING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_only_moves_forward() {
        let lifecycle = Lifecycle::default();
        assert!(!lifecycle.is_started());

        lifecycle.start();
        assert!(lifecycle.is_started() && !lifecycle.is_draining());

        lifecycle.drain();
        lifecycle.start();
        assert!(lifecycle.is_draining());
    }
}
