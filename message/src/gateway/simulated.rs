//! The built-in gateway: sends nothing, as slowly and as unreliably as it is told to.

use std::time::Duration;

use clap::{Args, value_parser};

use super::{Accepted, SendError, Sms, SmsGateway};

/// How the simulated gateway behaves.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Simulated SMS gateway")]
pub struct SimulatedGatewaySettings {
    /// How long the simulated gateway takes for each message, in milliseconds
    #[arg(long, env, default_value_t = 0, value_parser = value_parser!(u64).range(0..=60_000))]
    pub sms_latency_ms: u64,

    /// Share of messages that the simulated gateway refuses for good, 0 to 1; their members become ABNORMAL
    #[arg(long, env, default_value_t = 0.0, value_parser = probability)]
    pub sms_failure_rate: f64,
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("must be from 0 to 1".to_owned()),
    }
}

/// Accepts messages and sends none.
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
    async fn send(&self, _sms: Sms<'_>) -> Result<Accepted, SendError> {
        let latency = Duration::from_millis(self.settings.sms_latency_ms);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if rand::random::<f64>() < self.settings.sms_failure_rate {
            return Err(SendError::Refused { reason: "simulated failure".to_owned() });
        }
        Ok(Accepted::default())
    }

    /// It keeps nothing, and sending again does no harm.
    async fn find(&self, _sms: Sms<'_>) -> Result<Option<Accepted>, SendError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::{KoreanMobile, PhoneNo};

    #[tokio::test]
    async fn it_refuses_as_many_as_it_is_told_to() {
        let number = PhoneNo("01085581234".to_owned());
        let to = KoreanMobile::try_from(&number).unwrap();
        let sms = Sms { client_reference: 1, to, text: "", queued_at: DateTime::UNIX_EPOCH };
        for (sms_failure_rate, is_sent) in [(0.0, true), (1.0, false)] {
            let settings = SimulatedGatewaySettings { sms_latency_ms: 0, sms_failure_rate };
            assert_eq!(SimulatedGateway::new(settings).send(sms).await.is_ok(), is_sent);
        }
    }

    #[test]
    fn a_failure_rate_is_a_probability() {
        assert_eq!(probability("0.25"), Ok(0.25));
        for text in ["-0.1", "1.1", "NaN", "abc", ""] {
            assert!(probability(text).is_err(), "{text}");
        }
    }
}
