//! What is being done at the moment, for who waits.
#![allow(clippy::print_stderr, reason = "the table alone is on standard output")]

use std::sync::OnceLock;
use std::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();

/// Says what begins, and how many seconds after the first such line.
pub fn say(what: impl AsRef<str>) {
    let seconds = START.get_or_init(Instant::now).elapsed().as_secs();
    eprintln!("{seconds:>4} s  {} …", what.as_ref());
}
