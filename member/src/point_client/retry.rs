//! When an attempt is repeated: forfeiting is idempotent, so after any failure of point or the network, as long as the
//! budget lasts. It keeps a failing point from being asked ever more often.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tower::BoxError;
use tower::retry::Policy;
use tower::retry::backoff::{
    Backoff, ExponentialBackoff, ExponentialBackoffMaker, InvalidBackoff, MakeBackoff,
};
use tower::retry::budget::{Budget, TpsBudget};
use tower::util::rng::HasherRng;

use super::Forfeiture;
use super::call::AttemptError;
use super::observe::{RETRIES, RETRIES_REFUSED};
use super::settings::ProtectionSettings;

/// How long an answered call counts for the budget.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);
/// Share of a delay that is left to chance, so that calls which failed together do not come again together.
const JITTER: f64 = 0.5;

/// Decides over the attempts of one call; clones share the budget.
#[derive(Clone, Debug)]
pub(super) struct RetryPolicy {
    budget: Arc<TpsBudget>,
    backoff: ExponentialBackoff,
    left: u32,
}

impl RetryPolicy {
    pub(super) fn new(settings: &ProtectionSettings) -> Result<Self, InvalidBackoff> {
        let (shortest, longest) = settings.retry_delays();
        let mut delays = ExponentialBackoffMaker::new(shortest, longest, JITTER, HasherRng::default())?;
        let (per_second, share) = settings.retry_budget();
        Ok(Self {
            budget: Arc::new(TpsBudget::new(BUDGET_WINDOW, per_second, share)),
            backoff: delays.make_backoff(),
            left: settings.retries(),
        })
    }
}

impl Policy<Forfeiture, (), BoxError> for RetryPolicy {
    type Future = tokio::time::Sleep;

    fn retry(
        &mut self,
        _forfeiture: &mut Forfeiture,
        result: &mut Result<(), BoxError>,
    ) -> Option<Self::Future> {
        if !matches!(result, Err(error) if is_fault_of_point(error)) {
            self.budget.deposit();
            return None;
        }
        if self.left == 0 {
            return None;
        }
        if !self.budget.withdraw() {
            counter!(RETRIES_REFUSED).increment(1);
            return None;
        }
        self.left -= 1;
        counter!(RETRIES).increment(1);
        Some(self.backoff.next_backoff())
    }

    fn clone_request(&mut self, forfeiture: &Forfeiture) -> Option<Forfeiture> {
        Some(forfeiture.clone())
    }
}

/// Whether point failed, as opposed to refusing what it was asked.
pub(super) fn is_fault_of_point(error: &BoxError) -> bool {
    !matches!(error.downcast_ref::<AttemptError>(), Some(AttemptError::Refused(_)))
}
