//! Who an event is about.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What clients call a member: a positive integer that JavaScript can represent (≤ 2^53−1). It can be used again
/// after a withdrawal; the membershipId tells the memberships of one id apart.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(try_from = "i64", into = "i64")]
#[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
#[schemars(extend("minimum" = 1, "maximum" = 9_007_199_254_740_991_i64))]
pub struct MemberId(i64);

impl MemberId {
    /// The largest id, 2^53−1.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// The number is not a member id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an integer from 1 to {max}", max = MemberId::MAX.0)]
pub struct InvalidMemberId;

impl TryFrom<i64> for MemberId {
    type Error = InvalidMemberId;

    fn try_from(value: i64) -> Result<Self, Self::Error> {
        if (1..=Self::MAX.0).contains(&value) { Ok(Self(value)) } else { Err(InvalidMemberId) }
    }
}

impl From<MemberId> for i64 {
    fn from(id: MemberId) -> Self {
        id.0
    }
}

impl FromStr for MemberId {
    type Err = InvalidMemberId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<i64>().map_err(|_| InvalidMemberId)?.try_into()
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One membership for ever: minted at each joining (uuid v7), never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct MembershipId(pub Uuid);

impl fmt::Display for MembershipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_id_is_a_positive_integer_up_to_2_to_the_53_minus_1() {
        for valid in ["1", "1000000000", "9007199254740991"] {
            assert_eq!(valid.parse::<MemberId>().unwrap().to_string(), valid);
        }
        for invalid in ["0", "-1", "9007199254740992", "1.0", "", " 1", "abc", "99999999999999999999"] {
            assert_eq!(invalid.parse::<MemberId>(), Err(InvalidMemberId), "{invalid:?}");
        }
    }
}
