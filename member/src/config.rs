//! Settings of the member service.

use std::time::Duration;

use chassis::{Settings, Validate};
use clap::{Args, value_parser};
use reqwest::Url;
use shared_events::delivery::KafkaSettings;

/// All settings.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub chassis: Settings,
    /// How to reach Kafka.
    #[command(flatten)]
    pub kafka: KafkaSettings,

    /// Point's internal listener, where points are forfeited before a withdrawal
    #[arg(long, env, default_value = "http://localhost:9083/", help_heading = "Withdrawal")]
    pub point_internal_url: Url,

    /// How long the forfeiture may take before the client is asked to try again shortly, in milliseconds
    #[arg(long, env, default_value_t = 2_000, value_parser = value_parser!(u64).range(10..=60_000), help_heading = "Withdrawal")]
    pub forfeit_timeout_ms: u64,
}

impl Config {
    /// How long the forfeiture may take.
    #[must_use]
    pub const fn forfeit_timeout(&self) -> Duration {
        Duration::from_millis(self.forfeit_timeout_ms)
    }

    /// How long a client waits for a withdrawal: longer than the forfeiture may take, and shorter than any request
    /// may, so that it is this service that tells what is known of the outcome.
    #[must_use]
    pub fn withdrawal_patience(&self) -> Duration {
        (self.forfeit_timeout() + self.chassis.limits().request_timeout) / 2
    }
}

impl AsRef<Settings> for Config {
    fn as_ref(&self) -> &Settings {
        &self.chassis
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), String> {
        self.chassis.validate()?;
        if self.point_internal_url.scheme() != "http" || !self.point_internal_url.path().ends_with('/') {
            return Err("--point-internal-url (POINT_INTERNAL_URL) is not like http://host:port/".to_owned());
        }
        if self.forfeit_timeout_ms >= self.chassis.request_timeout_ms {
            return Err("--forfeit-timeout-ms must be below --request-timeout-ms".to_owned());
        }
        Ok(())
    }
}
