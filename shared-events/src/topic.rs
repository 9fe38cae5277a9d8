//! The topics, one per publishing service.

use std::fmt;

/// A topic of the system. Its key is the memberId in ASCII decimal, so one member's events are in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// The public state of members. Compacted; the only topic with personal data.
    Member,
    /// How notifications ended. Kept 30 days.
    Message,
    /// What happened to balances. Compacted, not before 30 days.
    Point,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Member, Self::Message, Self::Point];

    /// The part of the name behind the prefix, as in `mileage.member`.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Message => "message",
            Self::Point => "point",
        }
    }

    /// The full name under a prefix (`mileage` unless set otherwise).
    #[must_use]
    pub fn name(self, prefix: &str) -> String {
        format!("{prefix}.{}", self.suffix())
    }

    /// The topic with this full name.
    #[must_use]
    pub fn from_name(prefix: &str, name: &str) -> Option<Self> {
        let suffix = name.strip_prefix(prefix)?.strip_prefix('.')?;
        Self::ALL.into_iter().find(|topic| topic.suffix() == suffix)
    }

    /// The topic-level configuration it is created with (design: 8 days are the promise for personal data,
    /// so nothing of `member` may stay uncompacted for more than 7).
    #[must_use]
    pub const fn config(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Member => &[
                ("cleanup.policy", "compact"),
                ("min.compaction.lag.ms", ONE_DAY),
                ("max.compaction.lag.ms", SIX_DAYS),
                ("segment.ms", ONE_DAY),
            ],
            Self::Message => &[("cleanup.policy", "delete"), ("retention.ms", THIRTY_DAYS)],
            Self::Point => &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", THIRTY_DAYS)],
        }
    }
}

const ONE_DAY: &str = "86400000";
const SIX_DAYS: &str = "518400000";
const THIRTY_DAYS: &str = "2592000000";

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.suffix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_topic_under_its_own_prefix_only() {
        for topic in Topic::ALL {
            assert_eq!(Topic::from_name("mileage", &topic.name("mileage")), Some(topic));
            assert_eq!(Topic::from_name("mileage", &topic.name("other")), None);
        }
        assert_eq!(Topic::from_name("mileage", "mileage.unknown"), None);
    }
}
