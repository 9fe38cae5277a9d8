//! An amount of points.

use std::fmt;

/// A number of points from 0 to 2^53−1, so that JavaScript can represent every amount and balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Points(i64);

/// The result is not between 0 and 2^53−1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be from 0 to {max} points", max = Points::MAX.0)]
pub struct PointOverflow;

impl Points {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most that an amount or a balance can be, 2^53−1.
    pub const MAX: Self = Self((1 << 53) - 1);
    /// What a member is given for joining (the requirement: 1,000 points).
    pub const SIGNUP: Self = Self(1_000);

    /// The number of points.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The sum, unless it is above [`Self::MAX`].
    ///
    /// # Errors
    /// [`PointOverflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, PointOverflow> {
        self.0.checked_add(other.0).ok_or(PointOverflow)?.try_into()
    }

    /// The difference, unless it is below zero.
    ///
    /// # Errors
    /// [`PointOverflow`].
    pub fn checked_sub(self, other: Self) -> Result<Self, PointOverflow> {
        self.0.checked_sub(other.0).ok_or(PointOverflow)?.try_into()
    }
}

impl TryFrom<i64> for Points {
    type Error = PointOverflow;

    fn try_from(value: i64) -> Result<Self, Self::Error> {
        if (0..=Self::MAX.0).contains(&value) { Ok(Self(value)) } else { Err(PointOverflow) }
    }
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_stay_within_the_range() {
        assert_eq!(Points::MAX.checked_add(Points::ZERO), Ok(Points::MAX));
        assert_eq!(Points::MAX.checked_add(Points(1)), Err(PointOverflow));
        assert_eq!(Points(1).checked_sub(Points(1)), Ok(Points::ZERO));
        assert_eq!(Points(1).checked_sub(Points(2)), Err(PointOverflow));
        assert_eq!(Points::try_from(-1), Err(PointOverflow));
        assert_eq!(Points::try_from(Points::MAX.0 + 1), Err(PointOverflow));
    }
}
