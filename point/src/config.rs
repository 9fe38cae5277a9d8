//! Settings of the point service.

use chassis::{Settings, Validate};
use clap::{Args, ValueEnum, value_parser};
use shared_events::delivery::KafkaSettings;

use crate::domain::{SpentPolicy, Validity};
use crate::fault::Delay;
use crate::usecase::transact::Terms;

/// All settings.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub chassis: Settings,
    /// How to reach Kafka.
    #[command(flatten)]
    pub kafka: KafkaSettings,

    /// The programme's terms.
    #[command(flatten)]
    pub terms: TermSettings,

    /// For drills only: slow each forfeiture down by a random time, such as `400..620`, in milliseconds
    #[arg(long, env, value_name = "MIN..MAX", help_heading = "Drills")]
    pub fault_forfeit_delay_ms: Option<Delay>,
}

/// The programme's terms.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Terms")]
pub struct TermSettings {
    /// How many months points are valid, to the end of the last one in Seoul
    #[arg(long, env, default_value_t = 60, value_parser = value_parser!(u32).range(0..=1_200))]
    pub validity_months: u32,

    /// How many days points are valid that a cancellation gives back after they have expired, to the end of the last one
    /// in Seoul
    #[arg(long, env, default_value_t = 30, value_parser = value_parser!(u32).range(0..=3_650))]
    pub grace_days: u32,

    /// When an earning is cancelled whose points were spent
    #[arg(long, env, value_enum, default_value_t = SpentEarning::Refuse)]
    pub spent_earning: SpentEarning,
}

/// What is done when an earning is cancelled whose points were spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SpentEarning {
    /// Refuse the cancellation
    Refuse,
    /// Take the rest from the member's other points, as far as there are any
    TakeFromOthers,
}

impl TermSettings {
    /// The programme's terms.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        Terms {
            validity: Validity { months: self.validity_months, grace_days: self.grace_days },
            spent: match self.spent_earning {
                SpentEarning::Refuse => SpentPolicy::Refuse,
                SpentEarning::TakeFromOthers => SpentPolicy::TakeFromOthers,
            },
        }
    }
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
