//! What waits for a transaction to be committed.

use std::fmt;

/// What is done once a transaction has committed, such as counting, and never when it has not: dropped, it does nothing.
#[derive(Default)]
pub struct AfterCommit(Vec<Box<dyn FnOnce() + Send>>);

impl AfterCommit {
    /// Adds something to be done.
    pub fn add(&mut self, action: impl FnOnce() + Send + 'static) {
        self.0.push(Box::new(action));
    }

    /// Does it all, in the order in which it was added. To be called right after the commit.
    pub fn run(self) {
        for action in self.0 {
            action();
        }
    }
}

impl fmt::Debug for AfterCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AfterCommit").field(&self.0.len()).finish()
    }
}
