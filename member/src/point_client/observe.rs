//! What the metrics and the log tell of the calls to point.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tower_resilience_circuitbreaker::CircuitState;

use super::error::{ForfeitError, Reason};
use super::settings::ProtectionSettings;

const STATES: [CircuitState; 3] = [CircuitState::Closed, CircuitState::Open, CircuitState::HalfOpen];

/// Shows every series from the start, so that an alert sees a change and not an appearance.
pub(super) fn start(settings: &ProtectionSettings) {
    show(CircuitState::Closed);
    gauge!("point_calls_in_flight").set(0);
    gauge!("point_calls_limit").set(settings.concurrency() as f64);
    counter!("point_call_retries_total").absolute(0);
    counter!("point_call_retries_refused_total").absolute(0);
    for reason in Reason::ALL {
        counter!("point_call_failures_total", "reason" => reason.as_str()).absolute(0);
    }
}

fn show(state: CircuitState) {
    for each in STATES {
        gauge!("point_circuit_state", "state" => label(each)).set(f64::from(u8::from(each == state)));
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
    counter!("point_circuit_changes_total", "to" => label(to)).increment(1);
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
    let result = error.map_or("forfeited", |error| error.reason.as_str());
    histogram!("point_call_duration_seconds", "result" => result).record(elapsed);
    if let Some(error) = error {
        counter!("point_call_failures_total", "reason" => error.reason.as_str()).increment(1);
    }
}

/// A call that has its place in the bulkhead.
pub(super) struct InFlight;

impl InFlight {
    pub(super) fn enter() -> Self {
        gauge!("point_calls_in_flight").increment(1);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!("point_calls_in_flight").decrement(1);
    }
}
