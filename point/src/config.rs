//! Settings of the point service.

use chassis::{Settings, Validate};
use clap::Args;
use shared_events::delivery::KafkaSettings;

use crate::fault::Delay;

/// All settings.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub chassis: Settings,
    /// How to reach Kafka.
    #[command(flatten)]
    pub kafka: KafkaSettings,

    /// For drills only: slow each forfeiture down by a random time, such as `400..620`, in milliseconds
    #[arg(long, env, value_name = "MIN..MAX", help_heading = "Drills")]
    pub fault_forfeit_delay_ms: Option<Delay>,
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
