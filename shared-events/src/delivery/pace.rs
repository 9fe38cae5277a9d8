//! At what pace passes of the relay and batches of a consumer follow each other.

use std::time::Duration;

use chassis::pace::Pace;

/// As suits what nobody waits for.
pub(super) const AT_LEISURE: Duration = Duration::from_millis(25);

/// Of those that follow each other at least so long after the start of the last one.
pub(super) const fn pace(shortest: Duration) -> Pace {
    Pace { shortest, each: Duration::from_micros(300), longest: AT_LEISURE }
}
