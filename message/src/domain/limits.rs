//! The spending guard: how many messages may go out, so that neither a loop nor somebody's mischief (one number joined
//! and withdrawn over and over, a block of numbers of a premium service) runs up a bill.

use std::collections::HashMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::phone_no::PhoneNo;

/// Numbers that share so many digits, such as 010-1234, share a limit: 10,000 of them.
const PREFIX_DIGITS: usize = 7;

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All messages, by the minute.
    Overall,
    /// Messages to numbers that begin alike, by the hour.
    Prefix,
    /// Messages to one number, by the day (UTC).
    Number,
}

impl Scope {
    /// All of them, the narrowest first.
    pub const ALL: [Self; 3] = [Self::Number, Self::Prefix, Self::Overall];

    /// The name in the database and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overall => "OVERALL",
            Self::Prefix => "PREFIX",
            Self::Number => "NUMBER",
        }
    }

    /// For how long is counted together.
    #[must_use]
    pub const fn window(self) -> TimeDelta {
        match self {
            Self::Overall => TimeDelta::minutes(1),
            Self::Prefix => TimeDelta::hours(1),
            Self::Number => TimeDelta::days(1),
        }
    }
}

/// Counts the messages of one scope and window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Counter {
    /// What is counted together.
    pub scope: Scope,
    /// The digits that they share. Personal data.
    pub digits: PhoneNo,
    /// When counting began.
    pub window_start: DateTime<Utc>,
}

/// Whether a message may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admitted,
    /// It may not, before the window ends.
    Blocked {
        /// The limit it meets.
        scope: Scope,
        /// When the window ends.
        until: DateTime<Utc>,
    },
}

/// Most messages of each scope and window; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// In a minute, all together.
    pub overall: Option<u32>,
    /// In an hour, to numbers that share their first 7 digits.
    pub prefix: Option<u32>,
    /// In a day, to one number.
    pub number: Option<u32>,
}

impl Limits {
    const fn of(&self, scope: Scope) -> Option<u32> {
        match scope {
            Scope::Overall => self.overall,
            Scope::Prefix => self.prefix,
            Scope::Number => self.number,
        }
    }

    /// The counters that a message to this number counts in: those that have a limit.
    #[must_use]
    pub fn counters(&self, to: &PhoneNo, now: DateTime<Utc>) -> Vec<Counter> {
        let limited = Scope::ALL.into_iter().filter(|scope| self.of(*scope).is_some());
        let counter = |scope: Scope| {
            let digits = match scope {
                Scope::Overall => "",
                Scope::Prefix => to.0.get(..PREFIX_DIGITS).unwrap_or(&to.0),
                Scope::Number => &to.0,
            };
            let window_start = now.duration_trunc(scope.window()).unwrap_or(now);
            Counter { scope, digits: PhoneNo(digits.to_owned()), window_start }
        };
        limited.map(counter).collect()
    }

    /// Decides about messages in their order, each by its counters. `counted` is how many were let through before.
    #[must_use]
    pub fn admit(&self, messages: &[Vec<Counter>], counted: &HashMap<Counter, u32>) -> Vec<Admission> {
        let mut counted = counted.clone();
        let mut decide = |counters: &Vec<Counter>| {
            let is_full = |counter: &&Counter| {
                let count = counted.get(counter).copied().unwrap_or(0);
                self.of(counter.scope).is_some_and(|limit| count >= limit)
            };
            if let Some(Counter { scope, window_start, .. }) = counters.iter().find(is_full) {
                return Admission::Blocked { scope: *scope, until: *window_start + scope.window() };
            }
            for counter in counters {
                *counted.entry(counter.clone()).or_default() += 1;
            }
            Admission::Admitted
        };
        messages.iter().map(&mut decide).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-24T14:30:45.5Z".parse().unwrap()
    }

    fn at(time: &str) -> DateTime<Utc> {
        format!("2026-11-{time}Z").parse().unwrap()
    }

    fn admit(limits: Limits, numbers: &[&str], counted: &HashMap<Counter, u32>) -> Vec<Admission> {
        let counters = numbers.iter().map(|number| limits.counters(&PhoneNo((*number).to_owned()), now()));
        limits.admit(&counters.collect::<Vec<_>>(), counted)
    }

    #[test]
    fn without_limits_nothing_is_counted_and_everything_goes_out() {
        let limits = Limits::default();
        assert!(limits.counters(&PhoneNo("01012345678".to_owned()), now()).is_empty());
        assert_eq!(admit(limits, &["01012345678"; 3], &HashMap::new()), [Admission::Admitted; 3]);
    }

    #[test]
    fn each_limit_blocks_what_is_beyond_it_until_its_window_ends() {
        let number = "01012345678";
        for (limits, scope, until) in [
            (Limits { number: Some(2), ..Limits::default() }, Scope::Number, at("25T00:00:00")),
            (Limits { prefix: Some(2), ..Limits::default() }, Scope::Prefix, at("24T15:00:00")),
            (Limits { overall: Some(2), ..Limits::default() }, Scope::Overall, at("24T14:31:00")),
        ] {
            let blocked = Admission::Blocked { scope, until };
            let admitted = Admission::Admitted;
            assert_eq!(admit(limits, &[number; 3], &HashMap::new()), [admitted, admitted, blocked]);

            let [counter] = limits.counters(&PhoneNo(number.to_owned()), now()).try_into().unwrap();
            let counted = HashMap::from([(counter, 1)]);
            assert_eq!(admit(limits, &[number; 2], &counted), [admitted, blocked], "{scope:?}");
        }
    }

    #[test]
    fn other_numbers_and_prefixes_have_limits_of_their_own() {
        let limits = Limits { number: Some(1), prefix: Some(2), overall: None };
        let numbers = ["01012340001", "01012340001", "01012340002", "01012340003", "01012350001"];
        let blocked = |scope, until| Admission::Blocked { scope, until: at(until) };
        assert_eq!(
            admit(limits, &numbers, &HashMap::new()),
            [
                Admission::Admitted,
                blocked(Scope::Number, "25T00:00:00"),
                Admission::Admitted,
                blocked(Scope::Prefix, "24T15:00:00"),
                Admission::Admitted,
            ],
            "what is blocked does not count"
        );
    }

    #[test]
    fn a_limit_of_0_lets_nothing_out_and_a_short_number_is_a_prefix_of_its_own() {
        let limits = Limits { prefix: Some(0), ..Limits::default() };
        assert!(matches!(admit(limits, &["010"], &HashMap::new())[..], [Admission::Blocked { .. }]));
    }

    #[test]
    fn a_counter_hides_its_digits_in_a_log_line() {
        let limits = Limits { number: Some(1), prefix: Some(1), overall: Some(1) };
        let printed = format!("{:?}", limits.counters(&PhoneNo("01012345678".to_owned()), now()));
        assert!(!printed.contains("0101234"), "{printed}");
    }
}
