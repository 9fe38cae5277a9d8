//! Settings of the message service.

use chassis::{Language, Settings, Validate};
use chrono::TimeDelta;
use clap::{Args, value_parser};
use shared_events::delivery::KafkaSettings;

use crate::domain::{Limits, RetryBudget, Texts};
use crate::gateway::{GatewayKind, GatewaySettings};

/// All settings.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub chassis: Settings,
    /// How to reach Kafka.
    #[command(flatten)]
    pub kafka: KafkaSettings,
    /// What sends the messages.
    #[command(flatten)]
    pub gateway: GatewaySettings,
    /// How hard is tried, and what is said.
    #[command(flatten)]
    pub sending: SendingSettings,
    /// How much may be sent.
    #[command(flatten)]
    pub limits: LimitSettings,
}

/// How hard is tried, and what is said.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sending")]
pub struct SendingSettings {
    /// Most messages that one replica sends at a time
    #[arg(long, env, default_value_t = 128, value_parser = value_parser!(u16).range(1..=1_000))]
    pub send_concurrency: u16,

    /// Most attempts at a message before it has failed for good. The wait between them doubles from half a second to a
    /// minute
    #[arg(long, env, default_value_t = 2_000, value_parser = value_parser!(i32).range(1..=1_000_000))]
    pub send_max_attempts: i32,

    /// How long a message is tried, in minutes, before it has failed for good
    #[arg(long, env, default_value_t = 1_440, value_parser = value_parser!(u32).range(1..=43_200))]
    pub send_max_age_minutes: u32,

    /// Language of the messages: `ko` or `en`
    #[arg(long, env, default_value = "ko", value_parser = language)]
    pub sms_language: Language,

    /// What the messages call the programme
    #[arg(long, env, default_value = "마일리지")]
    pub sms_brand: String,
}

impl SendingSettings {
    /// How long a message is tried for.
    #[must_use]
    pub fn budget(&self) -> RetryBudget {
        let age = TimeDelta::minutes(i64::from(self.send_max_age_minutes));
        RetryBudget { attempts: self.send_max_attempts, age }
    }

    /// What the messages say.
    ///
    /// # Errors
    /// One line, when the name of the programme cannot be used.
    pub fn texts(&self) -> Result<Texts, String> {
        Texts::new(self.sms_language, &self.sms_brand)
            .map_err(|error| format!("--sms-brand (SMS_BRAND): {error}"))
    }
}

/// How much may be sent. What is beyond a limit waits for the next minute, hour or day; it does not fail.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Spending guard")]
pub struct LimitSettings {
    /// Most messages to one number in a day (UTC), or `none` [default: 10; none with the simulated gateway]
    #[arg(long, env, value_parser = limit)]
    pub sms_limit_per_number: Option<Limit>,

    /// Most messages in an hour to numbers that share their first 7 digits, or `none` [default: 1000; none with the
    /// simulated gateway]
    #[arg(long, env, value_parser = limit)]
    pub sms_limit_per_prefix: Option<Limit>,

    /// Most messages in a minute, by all replicas together, or `none` [default: 60000; none with the simulated gateway]
    #[arg(long, env, value_parser = limit)]
    pub sms_limit_per_minute: Option<Limit>,
}

/// Most messages, if there is a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(Option<u32>);

impl Config {
    /// How much may be sent.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let or = |limit: Option<Limit>, default| match (limit, self.gateway.sms_gateway) {
            (Some(Limit(limit)), _) => limit,
            (None, GatewayKind::Simulated) => None,
            (None, GatewayKind::Solapi | GatewayKind::Twilio) => Some(default),
        };
        let LimitSettings { sms_limit_per_number, sms_limit_per_prefix, sms_limit_per_minute } = self.limits;
        Limits {
            number: or(sms_limit_per_number, 10),
            prefix: or(sms_limit_per_prefix, 1_000),
            overall: or(sms_limit_per_minute, 60_000),
        }
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    match text.parse() {
        Ok(limit @ 1..) => Ok(Limit(Some(limit))),
        Err(_) if text == "none" => Ok(Limit(None)),
        _ => Err("must be a number from 1 on, or none".to_owned()),
    }
}

fn language(text: &str) -> Result<Language, String> {
    [Language::Korean, Language::English]
        .into_iter()
        .find(|language| language.tag() == text)
        .ok_or_else(|| "must be ko or en".to_owned())
}

impl AsRef<Settings> for Config {
    fn as_ref(&self) -> &Settings {
        &self.chassis
    }
}

impl Validate for Config {
    fn validate(&self) -> Result<(), String> {
        self.chassis.validate()?;
        self.gateway.validate()?;
        self.sending.texts().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_none() {
        assert_eq!(limit("5"), Ok(Limit(Some(5))));
        assert_eq!(limit("none"), Ok(Limit(None)));
        for text in ["0", "-1", "", "No", "4294967296"] {
            assert!(limit(text).is_err(), "{text}");
        }
    }
}
