//! Settings of the protection.

use std::time::Duration;

use clap::{Args, value_parser};

/// How the call to point is protected, from the outermost layer to the innermost.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Withdrawal")]
pub struct ProtectionSettings {
    /// Most withdrawals that may wait for point at a time; further ones are asked to try again shortly
    #[arg(long, env, default_value_t = 128, value_parser = value_parser!(u16).range(1..))]
    forfeit_concurrency: u16,

    /// Over how long the circuit breaker looks back, in milliseconds
    #[arg(long, env, default_value_t = 10_000, value_parser = value_parser!(u64).range(100..=600_000))]
    forfeit_circuit_window_ms: u64,

    /// Fewest calls in that time for the circuit to open
    #[arg(long, env, default_value_t = 10, value_parser = value_parser!(u16).range(1..))]
    forfeit_circuit_minimum_calls: u16,

    /// Share of failed calls in that time from which on the circuit opens, in percent
    #[arg(long, env, default_value_t = 50, value_parser = value_parser!(u8).range(1..=100))]
    forfeit_circuit_failure_percent: u8,

    /// How long the circuit stays open until calls are let through on trial, in milliseconds
    #[arg(long, env, default_value_t = 5_000, value_parser = value_parser!(u64).range(10..=600_000))]
    forfeit_circuit_open_ms: u64,

    /// Calls that are let through on trial; when all succeed the circuit closes, when one fails it opens again
    #[arg(long, env, default_value_t = 5, value_parser = value_parser!(u16).range(1..))]
    forfeit_circuit_trial_calls: u16,

    /// How long the forfeiture may take with all its attempts, in milliseconds
    #[arg(long, env, default_value_t = 2_000, value_parser = value_parser!(u64).range(10..=60_000))]
    forfeit_timeout_ms: u64,

    /// Most attempts of a forfeiture
    #[arg(long, env, default_value_t = 3, value_parser = value_parser!(u8).range(1..=10))]
    forfeit_attempts: u8,

    /// Retries that are always allowed, per second, before the budget counts
    #[arg(long, env, default_value_t = 5, value_parser = value_parser!(u16))]
    forfeit_retries_per_second: u16,

    /// Further retries that are allowed for each answered call of the last 10 seconds, in percent
    #[arg(long, env, default_value_t = 20, value_parser = value_parser!(u8).range(0..=100))]
    forfeit_retry_percent: u8,

    /// Shortest pause before a retry, in milliseconds; it doubles with each
    #[arg(long, env, default_value_t = 20, value_parser = value_parser!(u64).range(1..=10_000))]
    forfeit_retry_min_ms: u64,

    /// Longest pause before a retry, in milliseconds
    #[arg(long, env, default_value_t = 200, value_parser = value_parser!(u64).range(1..=10_000))]
    forfeit_retry_max_ms: u64,

    /// How long one attempt may take, in milliseconds; connecting has half of it
    #[arg(long, env, default_value_t = 610, value_parser = value_parser!(u64).range(2..=60_000))]
    forfeit_attempt_timeout_ms: u64,
}

impl ProtectionSettings {
    /// Says in one line which settings do not go together, if any.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.forfeit_attempt_timeout_ms > self.forfeit_timeout_ms {
            return Err("--forfeit-attempt-timeout-ms must not be above --forfeit-timeout-ms".to_owned());
        }
        if self.forfeit_retry_min_ms > self.forfeit_retry_max_ms {
            return Err("--forfeit-retry-min-ms must not be above --forfeit-retry-max-ms".to_owned());
        }
        Ok(())
    }

    pub(super) fn concurrency(&self) -> usize {
        self.forfeit_concurrency.into()
    }

    pub(super) fn circuit_window(&self) -> Duration {
        Duration::from_millis(self.forfeit_circuit_window_ms)
    }

    pub(super) fn circuit_minimum_calls(&self) -> usize {
        self.forfeit_circuit_minimum_calls.into()
    }

    /// From 0 to 1.
    pub(super) fn circuit_failure_share(&self) -> f64 {
        f64::from(self.forfeit_circuit_failure_percent) / 100.0
    }

    pub(super) fn circuit_open(&self) -> Duration {
        Duration::from_millis(self.forfeit_circuit_open_ms)
    }

    pub(super) fn circuit_trial_calls(&self) -> usize {
        self.forfeit_circuit_trial_calls.into()
    }

    /// How long the forfeiture may take with all its attempts.
    pub(crate) const fn deadline(&self) -> Duration {
        Duration::from_millis(self.forfeit_timeout_ms)
    }

    pub(super) fn retries(&self) -> u32 {
        u32::from(self.forfeit_attempts) - 1
    }

    /// Retries per second, and for each answered call from 0 to 1.
    pub(super) fn retry_budget(&self) -> (u32, f32) {
        (self.forfeit_retries_per_second.into(), f32::from(self.forfeit_retry_percent) / 100.0)
    }

    /// The shortest and the longest.
    pub(super) fn retry_delays(&self) -> (Duration, Duration) {
        (Duration::from_millis(self.forfeit_retry_min_ms), Duration::from_millis(self.forfeit_retry_max_ms))
    }

    pub(super) fn attempt_timeout(&self) -> Duration {
        Duration::from_millis(self.forfeit_attempt_timeout_ms)
    }
}
