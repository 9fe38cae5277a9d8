//! What the metrics and the log tell of the calls to point.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tower_resilience_circuitbreaker::CircuitState;

use super::error::{ForfeitError, Reason};
use super::settings::ProtectionSettings;

const CIRCUIT_STATE: &str = "point_circuit_state";
const CIRCUIT_CHANGES: &str = "point_circuit_changes_total";
const IN_FLIGHT: &str = "point_calls_in_flight";
const LIMIT: &str = "point_calls_limit";
const DURATION: &str = "point_call_duration_seconds";
const FAILURES: &str = "point_call_failures_total";
pub(super) const RETRIES: &str = "point_call_retries_total";
pub(super) const RETRIES_REFUSED: &str = "point_call_retries_refused_total";

const FORFEITED: &str = "forfeited";
const STATES: [CircuitState; 3] = [CircuitState::Closed, CircuitState::Open, CircuitState::HalfOpen];

/// Shows every series from the start, so that an alert sees a change and not an appearance.
pub(super) fn start(settings: &ProtectionSettings) {
    describe_gauge!(CIRCUIT_STATE, "1 for the state that the circuit breaker of the call to point is in");
    describe_counter!(CIRCUIT_CHANGES, "How often the circuit breaker came into a state");
    describe_gauge!(IN_FLIGHT, "Calls to point that are under way");
    describe_gauge!(LIMIT, "Most calls to point that may be under way");
    describe_histogram!(DURATION, "How long calls to point took, retries included");
    describe_counter!(FAILURES, "Calls to point that failed, by why");
    describe_counter!(RETRIES, "Attempts that were repeated");
    describe_counter!(RETRIES_REFUSED, "Attempts that were not repeated because the budget was used up");
    show(CircuitState::Closed);
    gauge!(IN_FLIGHT).set(0);
    gauge!(LIMIT).set(settings.concurrency() as f64);
    counter!(RETRIES).absolute(0);
    counter!(RETRIES_REFUSED).absolute(0);
    for state in STATES {
        counter!(CIRCUIT_CHANGES, "to" => label(state)).absolute(0);
    }
    for reason in Reason::ALL {
        counter!(FAILURES, "reason" => reason.as_str()).absolute(0);
    }
    let _ = histogram!(DURATION, "result" => FORFEITED);
}

fn show(state: CircuitState) {
    for each in STATES {
        gauge!(CIRCUIT_STATE, "state" => label(each)).set(f64::from(u8::from(each == state)));
    }
}

const fn label(state: CircuitState) -> &'static str {
    match state {
        CircuitState::Closed => "closed",
        CircuitState::Open => "open",
        CircuitState::HalfOpen => "half_open",
    }
}

pub(super) fn circuit_changed(from: CircuitState, to: CircuitState) {
    show(to);
    counter!(CIRCUIT_CHANGES, "to" => label(to)).increment(1);
    let from = label(from);
    match to {
        CircuitState::Open => {
            tracing::warn!(from, "the circuit to point opens: withdrawals are refused at once")
        }
        CircuitState::HalfOpen => {
            tracing::info!(from, "the circuit to point lets a few calls through on trial")
        }
        CircuitState::Closed => tracing::info!(from, "the circuit to point closes: withdrawals go on"),
    }
}

pub(super) fn finished(elapsed: Duration, error: Option<&ForfeitError>) {
    let result = error.map_or(FORFEITED, |error| error.reason.as_str());
    histogram!(DURATION, "result" => result).record(elapsed);
    if let Some(error) = error {
        counter!(FAILURES, "reason" => error.reason.as_str()).increment(1);
    }
}

/// A call that has its place in the bulkhead.
pub(super) struct InFlight;

impl InFlight {
    pub(super) fn enter() -> Self {
        gauge!(IN_FLIGHT).increment(1);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(IN_FLIGHT).decrement(1);
    }
}
