//! At what pace passes of the relay and batches of a consumer follow each other: what comes meanwhile shares what one costs
//! here, in Postgres and at the broker.

use std::time::Duration;

/// As suits what nobody waits for.
pub(super) const AT_LEISURE: Duration = Duration::from_millis(25);
/// The more there was in the last one, the more is likely to come while the next one waits.
const EACH: Duration = Duration::from_micros(300);
const LONGEST: Duration = AT_LEISURE;

/// How long after the start of one that had so many events the next one begins. What comes alone, after a pause, waits for
/// nothing.
pub(super) fn pace(shortest: Duration, events: usize) -> Duration {
    let events = u32::try_from(events).unwrap_or(u32::MAX);
    shortest.saturating_add(EACH.saturating_mul(events)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_there_was_the_longer_the_next_one_waits_up_to_a_limit() {
        let shortest = Duration::from_millis(2);
        let waits = [0, 10, 1_000, usize::MAX].map(|events| pace(shortest, events).as_millis());
        assert_eq!(waits, [2, 5, 25, 25]);
    }
}
