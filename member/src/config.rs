//! Settings of the member service.

use std::time::Duration;

use chassis::{Settings, Validate};
use clap::Args;
use reqwest::Url;
use shared_events::delivery::KafkaSettings;

use crate::point_client::ProtectionSettings;

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

    /// How the call to point is protected.
    #[command(flatten)]
    pub protection: ProtectionSettings,
}

impl Config {
    /// How long a client waits for a withdrawal: longer than the forfeiture may take, and shorter than any request
    /// may, so that it is this service that tells what is known of the outcome.
    #[must_use]
    pub fn withdrawal_patience(&self) -> Duration {
        (self.protection.deadline() + self.chassis.limits().request_timeout) / 2
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
        self.protection.validate()?;
        if self.protection.deadline() >= self.chassis.limits().request_timeout {
            return Err("--forfeit-timeout-ms must be below --request-timeout-ms".to_owned());
        }
        Ok(())
    }
}
