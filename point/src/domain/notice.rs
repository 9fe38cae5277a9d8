//! When members are told that points expire.

use chrono::{DateTime, Months, TimeDelta, Utc};

/// How long before an expiry a member is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeStage {
    /// Two months before.
    TwoMonths,
    /// One month before.
    OneMonth,
    /// Three days before.
    ThreeDays,
}

impl NoticeStage {
    /// All of them, the longest before first.
    pub const ALL: [Self; 3] = [Self::TwoMonths, Self::OneMonth, Self::ThreeDays];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TwoMonths => "TWO_MONTHS",
            Self::OneMonth => "ONE_MONTH",
            Self::ThreeDays => "THREE_DAYS",
        }
    }

    /// The expiries that a member is told of now at this stage: after the first of these times, up to the second. Those
    /// nearer are of a later stage: who earns points that expire in a week is told three days before, and not thrice
    /// at once.
    #[must_use]
    pub fn window(self, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        let in_months = |months| now.checked_add_months(Months::new(months)).unwrap_or(now);
        let in_three_days = now + TimeDelta::days(3);
        match self {
            Self::TwoMonths => (in_months(1), in_months(2)),
            Self::OneMonth => (in_three_days, in_months(1)),
            Self::ThreeDays => (now, in_three_days),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_expiry_is_of_one_stage_at_a_time() {
        let now: DateTime<Utc> = "2026-11-24T12:00:00Z".parse().unwrap();
        for (expires_at, stage) in [
            ("2026-11-24T12:00:00Z", None),
            ("2026-11-24T12:00:01Z", Some(NoticeStage::ThreeDays)),
            ("2026-11-27T12:00:00Z", Some(NoticeStage::ThreeDays)),
            ("2026-11-27T12:00:01Z", Some(NoticeStage::OneMonth)),
            ("2026-12-24T12:00:00Z", Some(NoticeStage::OneMonth)),
            ("2026-12-24T12:00:01Z", Some(NoticeStage::TwoMonths)),
            ("2027-01-24T12:00:00Z", Some(NoticeStage::TwoMonths)),
            ("2027-01-24T12:00:01Z", None),
        ] {
            let at: DateTime<Utc> = expires_at.parse().unwrap();
            let is_due = |stage: &NoticeStage| {
                let (after, until) = stage.window(now);
                after < at && at <= until
            };
            let due: Vec<_> = NoticeStage::ALL.into_iter().filter(is_due).collect();
            assert_eq!(due, stage.into_iter().collect::<Vec<_>>(), "{expires_at}");
        }
    }
}
