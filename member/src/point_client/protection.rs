//! The layers around the call, outermost first: bulkhead, circuit breaker, deadline, retry, timeout of an attempt.

use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, SlidingWindowType};

use super::Forfeiture;
use super::call::Call;
use super::observe::{self, InFlight};
use super::retry::{RetryPolicy, is_fault_of_point};
use super::settings::ProtectionSettings;

/// The call within its layers.
pub(super) type Protected = BoxCloneSyncService<Forfeiture, (), BoxError>;

/// Puts the layers around the call.
pub(super) fn protect(call: Call, settings: &ProtectionSettings) -> anyhow::Result<Protected> {
    let circuit_breaker = CircuitBreakerLayer::builder()
        .name("point")
        .sliding_window_type(SlidingWindowType::TimeBased)
        .sliding_window_duration(settings.circuit_window())
        .minimum_number_of_calls(settings.circuit_minimum_calls())
        .failure_rate_threshold(settings.circuit_failure_share())
        .wait_duration_in_open(settings.circuit_open())
        .permitted_calls_in_half_open(settings.circuit_trial_calls())
        .failure_classifier(has_failed)
        .on_state_transition(observe::circuit_changed)
        .build()?;
    let protected = ServiceBuilder::new()
        .layer(circuit_breaker)
        .timeout(settings.deadline())
        .retry(RetryPolicy::new(settings)?)
        .timeout(settings.attempt_timeout())
        .service(call);
    // A breaker that is not closed may ask to be polled again; the bulkhead would take that for an overload.
    let always_ready = service_fn(move |forfeiture| {
        let protected = protected.clone();
        async move {
            let _in_flight = InFlight::enter();
            protected.oneshot(forfeiture).await
        }
    });
    let bulkhead = ServiceBuilder::new()
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(settings.concurrency()))
        .service(always_ready);
    Ok(BoxCloneSyncService::new(bulkhead))
}

/// What counts against point.
fn has_failed(result: &Result<(), BoxError>) -> bool {
    result.as_ref().is_err_and(is_fault_of_point)
}
