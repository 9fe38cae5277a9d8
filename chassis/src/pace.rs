//! At what pace shares of work follow each other: what comes meanwhile shares what one costs here, in Postgres and at the broker.

use std::time::Duration;

/// How long after the start of one share of work the next one begins. What comes alone, after a pause, waits for nothing.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// At least, even if there was nothing in the last one.
    pub shortest: Duration,
    /// So much more for each item of the last one: the more there was, the more is likely to come while the next one waits.
    pub each: Duration,
    /// At most.
    pub longest: Duration,
}

impl Pace {
    /// Each begins when the last one has ended.
    pub const UNBROKEN: Self =
        Self { shortest: Duration::ZERO, each: Duration::ZERO, longest: Duration::ZERO };

    /// After a share of so many items.
    #[must_use]
    pub fn after(&self, items: usize) -> Duration {
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        self.shortest.saturating_add(self.each.saturating_mul(items)).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_there_was_the_longer_the_next_one_waits_up_to_a_limit() {
        let [shortest, longest] = [2, 25].map(Duration::from_millis);
        let pace = Pace { shortest, each: Duration::from_micros(300), longest };
        let waits = [0, 10, 1_000, usize::MAX].map(|items| pace.after(items).as_millis());
        assert_eq!(waits, [2, 5, 25, 25]);
    }
}
