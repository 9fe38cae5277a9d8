//! A nudge from one task of the process to another.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes a task that otherwise polls. A wake-up while nobody waits is kept for the next who does.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// A new one, shared by its clones.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the waiting task.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits for the next wake-up.
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}
