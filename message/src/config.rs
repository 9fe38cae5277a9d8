//! Settings of the message service.

use chassis::{Settings, Validate};
use clap::Args;
use shared_events::delivery::KafkaSettings;

use crate::gateway::SimulatedGatewaySettings;

/// All settings.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub chassis: Settings,
    /// How to reach Kafka.
    #[command(flatten)]
    pub kafka: KafkaSettings,
    /// How the simulated gateway behaves.
    #[command(flatten)]
    pub gateway: SimulatedGatewaySettings,

    /// Most messages that one replica sends at a time
    #[arg(long, env, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000), help_heading = "Sending")]
    pub send_concurrency: u16,
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
