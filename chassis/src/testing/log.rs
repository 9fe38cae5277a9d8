//! What is logged.

use std::io;
use std::sync::{Arc, Mutex, Once};

use tracing::subscriber::DefaultGuard;

/// Keeps what the test's thread logs, until it is dropped.
#[derive(Debug)]
pub struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Keeps what is logged from now on.
    pub fn capture() -> Self {
        // A call site that is first met on a thread without a subscriber may otherwise count as switched off for good.
        static EVERYWHERE: Once = Once::new();
        EVERYWHERE.call_once(|| {
            let sink = tracing_subscriber::fmt().with_writer(io::sink).finish();
            // Whoever has set one before has the same effect.
            let _ = tracing::subscriber::set_global_default(sink);
        });
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// How many lines contain a text.
    ///
    /// # Panics
    /// When the thread panicked while it logged.
    pub fn count(&self, text: &str) -> usize {
        let bytes = self.lines.0.lock().unwrap();
        String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains(text)).count()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
