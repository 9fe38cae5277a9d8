//! What a client asks for.

use super::points::Points;

/// What a client asks for with `requirePoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointChange {
    /// `requirePoint` > 0.
    Earn(Points),
    /// `requirePoint` < 0.
    Use(Points),
}

/// `requirePoint` asks for nothing, or for more than there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an integer from -{max} to {max}, and not 0", max = Points::MAX)]
pub struct InvalidRequirePoint;

impl PointChange {
    /// Reads `requirePoint`: positive earns, negative uses.
    ///
    /// # Errors
    /// [`InvalidRequirePoint`] when it is 0 or beyond ±(2^53−1).
    pub fn from_require_point(require_point: i64) -> Result<Self, InvalidRequirePoint> {
        let amount = require_point.checked_abs().ok_or(InvalidRequirePoint)?;
        let amount = Points::try_from(amount).map_err(|_| InvalidRequirePoint)?;
        match require_point.signum() {
            1 => Ok(Self::Earn(amount)),
            -1 => Ok(Self::Use(amount)),
            _ => Err(InvalidRequirePoint),
        }
    }

    /// What the client sent.
    #[must_use]
    pub const fn require_point(self) -> i64 {
        match self {
            Self::Earn(amount) => amount.get(),
            Self::Use(amount) => -amount.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(number: i64) -> Points {
        number.try_into().unwrap()
    }

    #[test]
    fn a_require_point_of_0_or_out_of_range_is_no_change() {
        for invalid in [0, Points::MAX.get() + 1, i64::MAX, i64::MIN, -Points::MAX.get() - 1] {
            assert_eq!(PointChange::from_require_point(invalid), Err(InvalidRequirePoint), "{invalid}");
        }
        assert_eq!(PointChange::from_require_point(-730), Ok(PointChange::Use(points(730))));
    }
}
