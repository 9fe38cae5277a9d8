//! How long points are valid.

use chrono::{DateTime, Datelike, FixedOffset, Months, NaiveDate, NaiveTime, TimeDelta, Utc};

/// Korea Standard Time, all year round (since 1988).
const KST_SECONDS: i32 = 9 * 60 * 60;

/// How long points are valid, and how long those that were given back too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// So many months, to the end of the last one.
    pub months: u32,
    /// So many days, to the end of the last one, for what is given back after it has expired.
    pub grace_days: u32,
}

impl Validity {
    /// From when on points that are earned now are no longer valid: the first moment of the month after.
    #[must_use]
    pub fn of_earning(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let month = seoul(now).date_naive().with_day(1).unwrap_or_default();
        let after = month.checked_add_months(Months::new(self.months.saturating_add(1)));
        midnight(after.unwrap_or(NaiveDate::MAX))
    }

    /// From when on points that are given back now, after they have expired, are no longer valid.
    #[must_use]
    pub fn of_grace(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let days = TimeDelta::days(i64::from(self.grace_days) + 1);
        midnight(seoul(now).date_naive().checked_add_signed(days).unwrap_or(NaiveDate::MAX))
    }
}

fn seoul(time: DateTime<Utc>) -> DateTime<FixedOffset> {
    let offset = FixedOffset::east_opt(KST_SECONDS).expect("an offset below a day");
    time.with_timezone(&offset)
}

/// The first moment of a day in Seoul.
fn midnight(date: NaiveDate) -> DateTime<Utc> {
    let local = date.and_time(NaiveTime::MIN).and_utc();
    local.checked_sub_signed(TimeDelta::seconds(i64::from(KST_SECONDS))).unwrap_or(local)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALIDITY: Validity = Validity { months: 60, grace_days: 30 };

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn points_are_valid_to_the_end_of_a_month_in_seoul() {
        for (earned, months, expires) in [
            ("2026-11-24T12:00:00Z", 60, "2031-12-01T00:00:00+09:00"),
            // The last second of November in Seoul, and the first of December.
            ("2026-11-30T14:59:59Z", 60, "2031-12-01T00:00:00+09:00"),
            ("2026-11-30T15:00:00Z", 60, "2032-01-01T00:00:00+09:00"),
            // The end of a year, and of February with and without a leap day.
            ("2026-12-31T14:59:59Z", 0, "2027-01-01T00:00:00+09:00"),
            ("2028-01-31T00:00:00Z", 1, "2028-03-01T00:00:00+09:00"),
            ("2028-02-29T00:00:00Z", 12, "2029-03-01T00:00:00+09:00"),
            ("2027-01-31T00:00:00Z", 1, "2027-03-01T00:00:00+09:00"),
        ] {
            let validity = Validity { months, ..VALIDITY };
            assert_eq!(validity.of_earning(time(earned)), time(expires), "{earned}");
        }
    }

    #[test]
    fn a_grace_lasts_to_the_end_of_its_last_day_in_seoul() {
        assert_eq!(VALIDITY.of_grace(time("2026-11-24T14:59:59Z")), time("2026-12-25T00:00:00+09:00"));
        assert_eq!(VALIDITY.of_grace(time("2026-11-24T15:00:00Z")), time("2026-12-26T00:00:00+09:00"));
    }

    /// Any moment of two centuries, and moments around the turn of a month in Seoul, which is half of the cases.
    fn moment() -> impl Strategy<Value = DateTime<Utc>> {
        let (from, to) = (time("1990-01-01T00:00:00Z").timestamp(), time("2190-01-01T00:00:00Z").timestamp());
        let turn = (1990..2190_i32, 1..=12_u32, -2..=2_i64).prop_map(|(year, month, seconds)| {
            let turn = NaiveDate::from_ymd_opt(year, month, 1).unwrap().and_time(NaiveTime::MIN).and_utc();
            turn - TimeDelta::hours(9) + TimeDelta::seconds(seconds)
        });
        prop_oneof![(from..to).prop_map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap()), turn]
    }

    proptest! {
        #[test]
        fn an_earning_expires_when_the_month_after_its_last_one_begins_in_seoul(
            now in moment(),
            months in 0..=120_u32,
        ) {
            let seoul = FixedOffset::east_opt(9 * 60 * 60).unwrap();
            let expires_at = Validity { months, ..VALIDITY }.of_earning(now).with_timezone(&seoul);
            prop_assert_eq!((expires_at.day(), expires_at.time()), (1, NaiveTime::MIN));
            let month = |time: DateTime<FixedOffset>| 12 * i64::from(time.year()) + i64::from(time.month());
            prop_assert_eq!(month(expires_at) - month(now.with_timezone(&seoul)), i64::from(months) + 1);
        }
    }
}
