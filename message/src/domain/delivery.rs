//! What an attempt to send came to, and whether there is another.

use chrono::{DateTime, TimeDelta, Utc};

/// What an attempt to send came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The gateway accepted it.
    Sent {
        /// What the gateway calls it, if it said so.
        gateway_message_id: Option<String>,
    },
    /// It will never be accepted.
    Failed {
        /// Why; never the phone number.
        reason: String,
    },
    /// It may be accepted later.
    Postponed {
        /// Why; never the phone number.
        reason: String,
        /// How long the gateway asks to be left alone.
        retry_after: Option<TimeDelta>,
        /// Whether the gateway may have accepted it all the same.
        may_be_accepted: bool,
    },
}

/// How long a message is tried for. When either runs out, it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// Most attempts.
    pub attempts: i32,
    /// Longest time since the message was first let through to the gateway.
    pub age: TimeDelta,
}

impl RetryBudget {
    /// When to try again after so many attempts, or `None` when the budget is used up. `jitter` is from 0 to 1.
    #[must_use]
    pub fn next_attempt(
        &self,
        attempts: i32,
        admitted_at: DateTime<Utc>,
        now: DateTime<Utc>,
        retry_after: Option<TimeDelta>,
        jitter: f64,
    ) -> Option<DateTime<Utc>> {
        let delay = backoff(attempts, jitter).max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER));
        (attempts < self.attempts && now - admitted_at < self.age).then_some(now + delay)
    }
}

/// A gateway that asks for more is asked again after this all the same.
const LONGEST_RETRY_AFTER: TimeDelta = TimeDelta::minutes(10);

/// How long to wait before the next attempt: doubling from half a second up to a minute, less up to the half of it by
/// `jitter`, so that messages that failed together do not come again together.
fn backoff(attempts: i32, jitter: f64) -> TimeDelta {
    const FIRST_MS: i64 = 500;
    const LONGEST_MS: i64 = 60_000;
    let doublings = attempts.saturating_sub(1).clamp(0, 7).unsigned_abs();
    let full_ms = (FIRST_MS << doublings).min(LONGEST_MS);
    TimeDelta::milliseconds(full_ms - (full_ms as f64 * jitter.clamp(0.0, 1.0) / 2.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: RetryBudget = RetryBudget { attempts: 3, age: TimeDelta::hours(1) };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn waiting_doubles_up_to_a_minute() {
        let waits = |jitter| (1..=9).map(move |attempts| backoff(attempts, jitter).num_milliseconds());
        let longest = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
        assert_eq!(waits(0.0).collect::<Vec<_>>(), longest);
        assert_eq!(waits(1.0).collect::<Vec<_>>(), longest.map(|longest| longest / 2));
        assert_eq!(backoff(i32::MAX, 0.0), TimeDelta::minutes(1));
        assert_eq!(backoff(0, 0.0), TimeDelta::milliseconds(500));
    }

    #[test]
    fn a_message_is_tried_until_its_attempts_or_its_age_run_out() {
        let next = |attempts, now| BUDGET.next_attempt(attempts, at(0), at(now), None, 0.0);
        assert_eq!(next(1, 10), Some(at(10) + TimeDelta::milliseconds(500)));
        assert_eq!(next(2, 3_599), Some(at(3_600)));
        assert_eq!(next(3, 10), None);
        assert_eq!(next(1, 3_600), None);
    }

    #[test]
    fn the_gateway_may_ask_to_be_left_alone_for_longer_but_not_for_ever() {
        let next = |asked| BUDGET.next_attempt(1, at(0), at(0), Some(asked), 0.0);
        assert_eq!(next(TimeDelta::seconds(7)), Some(at(7)));
        assert_eq!(next(TimeDelta::zero()), Some(at(0) + TimeDelta::milliseconds(500)));
        assert_eq!(next(TimeDelta::days(1)), Some(at(600)));
    }
}
