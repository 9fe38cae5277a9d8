//! Progress lines for the person at the terminal. Silent unless the command line switched it on.

use std::{
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Switches progress lines on; tests leave them off.
pub fn enable() {
    ENABLED.store(true, Ordering::Relaxed);
}

/// Prints one line to standard output, if progress lines are on.
///
/// A closed standard output is not an error: a stack goes on when nobody reads what it says.
pub fn say(line: impl AsRef<str>) {
    if ENABLED.load(Ordering::Relaxed) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush());
    }
}

/// A duration as it is printed: seconds with one decimal.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
