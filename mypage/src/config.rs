//! Settings of the mypage service.

use chassis::{Settings, Validate};
use clap::Args;
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
}

impl AsRef<Settings> for Config {
    fn as_ref(&self) -> &Settings {
        &self.chassis
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), String> {
        self.chassis.validate()
    }
}
