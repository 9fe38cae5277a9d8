//! Faults on purpose, for drills: how the rest of the system takes them is to be known before they come by themselves.

use std::str::FromStr;
use std::time::Duration;

use rand::RngExt;

/// How long something is slowed down: any time of this range, the same likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    shortest_ms: u64,
    longest_ms: u64,
}

/// The text is not a delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be milliseconds, such as 500 or 400..620, up to {max}", max = Delay::MAX_MS)]
pub struct InvalidDelay;

impl Delay {
    const MAX_MS: u64 = 60_000;

    /// Waits for a random time of the range.
    pub async fn pass(self) {
        let milliseconds = rand::rng().random_range(self.shortest_ms..=self.longest_ms);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}

impl FromStr for Delay {
    type Err = InvalidDelay;

    fn from_str(text: &str) -> Result<Self, InvalidDelay> {
        let (shortest, longest) = text.split_once("..").unwrap_or((text, text));
        let milliseconds = |text: &str| text.parse().map_err(|_| InvalidDelay);
        let (shortest_ms, longest_ms) = (milliseconds(shortest)?, milliseconds(longest)?);
        if shortest_ms <= longest_ms && longest_ms <= Self::MAX_MS {
            Ok(Self { shortest_ms, longest_ms })
        } else {
            Err(InvalidDelay)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_a_range_or_a_single_time() {
        assert_eq!("400..620".parse(), Ok(Delay { shortest_ms: 400, longest_ms: 620 }));
        assert_eq!("500".parse(), Ok(Delay { shortest_ms: 500, longest_ms: 500 }));
        for wrong in ["", "..", "400..", "..620", "620..400", "-1", "1..60001", "4e2", "400...620", "1..2..3"]
        {
            assert_eq!(wrong.parse::<Delay>(), Err(InvalidDelay), "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_lasts_as_long_as_its_range_says() {
        for _ in 0..100 {
            let began = tokio::time::Instant::now();
            "400..620".parse::<Delay>().unwrap().pass().await;
            let elapsed = began.elapsed().as_millis();
            assert!((400..=621).contains(&elapsed), "{elapsed}");
        }
    }
}
