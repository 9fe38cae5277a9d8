//! The built-in gateway: decides by the number alone, as slowly and as unreliably as it is told to.

use std::time::Duration;

use clap::{Args, value_parser};

use super::{SendError, Sms, SmsGateway};

/// How the simulated gateway behaves.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Simulated SMS gateway")]
pub struct SimulatedGatewaySettings {
    /// How long the simulated gateway takes for each message, in milliseconds
    #[arg(long, env, default_value_t = 0, value_parser = value_parser!(u64).range(0..=60_000))]
    pub sms_latency_ms: u64,

    /// Share of valid numbers that the simulated gateway refuses for good, 0 to 1; their members become ABNORMAL
    #[arg(long, env, default_value_t = 0.0, value_parser = probability)]
    pub sms_failure_rate: f64,
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("must be from 0 to 1".to_owned()),
    }
}

/// Accepts Korean mobile numbers and refuses all others.
#[derive(Clone, Debug)]
pub struct SimulatedGateway {
    settings: SimulatedGatewaySettings,
}

impl SimulatedGateway {
    /// A gateway that behaves as told.
    #[must_use]
    pub const fn new(settings: SimulatedGatewaySettings) -> Self {
        Self { settings }
    }
}

impl SmsGateway for SimulatedGateway {
    async fn send(&self, sms: Sms<'_>) -> Result<(), SendError> {
        let latency = Duration::from_millis(self.settings.sms_latency_ms);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if !is_korean_mobile(&sms.to.0) {
            return Err(SendError::Refused("not a Korean mobile number".to_owned()));
        }
        if rand::random::<f64>() < self.settings.sms_failure_rate {
            return Err(SendError::Refused("simulated failure".to_owned()));
        }
        Ok(())
    }
}

/// 010 and 11 digits (Korea's numbering plan since 2004).
fn is_korean_mobile(digits: &str) -> bool {
    digits.len() == 11 && digits.starts_with("010") && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PhoneNo;

    async fn send(to: &str, sms_failure_rate: f64) -> Result<(), SendError> {
        let settings = SimulatedGatewaySettings { sms_latency_ms: 0, sms_failure_rate };
        let to = PhoneNo(to.to_owned());
        SimulatedGateway::new(settings).send(Sms { client_reference: 1, to: &to, text: "" }).await
    }

    #[tokio::test]
    async fn korean_mobile_numbers_are_accepted_and_others_refused() {
        assert_eq!(send("01085581234", 0.0).await, Ok(()));
        for number in ["0108558", "010855812345", "01185581234", "0", "0212345678"] {
            assert!(matches!(send(number, 0.0).await, Err(SendError::Refused(_))), "{number}");
        }
    }

    #[tokio::test]
    async fn a_failure_rate_of_1_refuses_every_number() {
        assert!(matches!(send("01085581234", 1.0).await, Err(SendError::Refused(_))));
    }

    #[test]
    fn a_failure_rate_is_a_probability() {
        assert_eq!(probability("0.25"), Ok(0.25));
        for text in ["-0.1", "1.1", "NaN", "abc", ""] {
            assert!(probability(text).is_err(), "{text}");
        }
    }
}
