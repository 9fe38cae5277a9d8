//! Why a forfeiture is not known to have happened, and whether it may have all the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tower::BoxError;
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower_resilience_circuitbreaker::CircuitBreakerError;

use super::call::AttemptError;

/// How long a client is asked to wait where nothing better is known.
const SHORTLY: Duration = Duration::from_secs(3);

/// A forfeiture is not known to have happened.
#[derive(Debug, thiserror::Error)]
#[error("the points could not be forfeited: {}", reason.as_str())]
pub struct ForfeitError {
    /// Why.
    pub reason: Reason,
    /// Whether point may have forfeited the points, or may yet. If not, the account is as it was.
    pub may_have_happened: bool,
    /// When it makes sense to try again.
    pub retry_after: Duration,
    source: BoxError,
}

/// Why a forfeiture is not known to have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// As many calls are under way as may be.
    Overloaded,
    /// The circuit is open: point has failed too often of late.
    CircuitOpen,
    /// Point could not be connected to.
    Unreachable,
    /// Point did not answer in time.
    TimedOut,
    /// Point answered with a fault or nonsense, or broke off.
    Failed,
    /// Point works, and refuses what it was asked: a fault between the two services.
    Refused,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Overloaded, Self::CircuitOpen, Self::Unreachable, Self::TimedOut, Self::Failed, Self::Refused];

    /// The label in metrics and log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::CircuitOpen => "circuit_open",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }

    fn of(error: &BoxError) -> Self {
        if error.is::<Overloaded>() {
            return Self::Overloaded;
        }
        let inner = match error.downcast_ref::<CircuitBreakerError<BoxError>>() {
            Some(CircuitBreakerError::OpenCircuit) => return Self::CircuitOpen,
            Some(CircuitBreakerError::Inner(inner)) => inner,
            None => error,
        };
        match inner.downcast_ref::<AttemptError>() {
            Some(AttemptError::Unreachable(_)) => Self::Unreachable,
            Some(AttemptError::Failed(_)) => Self::Failed,
            Some(AttemptError::Refused(_)) => Self::Refused,
            None if inner.is::<Elapsed>() => Self::TimedOut,
            None => Self::Failed,
        }
    }
}

impl ForfeitError {
    /// From what came out of the layers. `open` is how long the circuit stays open at most.
    pub(super) fn new(source: BoxError, may_have_reached: &AtomicBool, open: Duration) -> Self {
        let reason = Reason::of(&source);
        let retry_after = if reason == Reason::CircuitOpen { open.max(SHORTLY) } else { SHORTLY };
        Self { reason, may_have_happened: may_have_reached.load(Ordering::Acquire), retry_after, source }
    }
}
