//! Times as precise as Postgres keeps them, so that what is answered or published now and what is read later say the
//! same.

use chrono::{DateTime, SubsecRound, Utc};

/// What time it is, in whole microseconds.
#[must_use]
pub fn now() -> DateTime<Utc> {
    in_micros(Utc::now())
}

/// A time without what is less than a microsecond.
#[must_use]
pub fn in_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_would_not_keep_is_left_out() {
        let time: DateTime<Utc> = "2026-03-04T05:06:07.123456789Z".parse().unwrap();
        assert_eq!(in_micros(time).to_rfc3339(), "2026-03-04T05:06:07.123456+00:00");
    }

    #[test]
    fn no_time_of_many_is_more_precise() {
        assert!((0..100).map(|_| now()).all(|time| time == in_micros(time)));
    }
}
