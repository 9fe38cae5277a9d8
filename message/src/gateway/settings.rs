//! Which gateway, and how it is reached. Secrets come by the environment only, so that no process list shows them.

use std::env;
use std::time::Duration;

use chassis::error::chain;
use clap::{Args, ValueEnum, value_parser};
use reqwest::Url;
use secrecy::SecretString;

use super::{Account, Gateway, SimulatedGateway, SimulatedGatewaySettings, Solapi, Twilio};

/// The gateways there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GatewayKind {
    /// Built in: accepts everything and sends nothing
    Simulated,
    /// SOLAPI, in Korea. Needs SOLAPI_API_KEY and SOLAPI_API_SECRET in the environment, and --sms-sender
    Solapi,
    /// Twilio. Needs TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN in the environment, and --sms-sender
    Twilio,
}

/// Which gateway, and how it is reached.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "SMS gateway")]
pub struct GatewaySettings {
    /// What sends the messages
    #[arg(long, env, value_enum, default_value_t = GatewayKind::Simulated)]
    pub sms_gateway: GatewayKind,

    /// Whom messages come from: for SOLAPI the registered number in digits; for Twilio a number such as +8210…, an
    /// alphanumeric sender, or the SID (MG…) of a messaging service
    #[arg(long, env)]
    pub sms_sender: Option<String>,

    /// How long an exchange with the gateway may take, in milliseconds
    #[arg(long, env, default_value_t = 5_000, value_parser = value_parser!(u64).range(100..=8_000))]
    pub sms_timeout_ms: u64,

    /// Where SOLAPI is
    #[arg(long, env, default_value = "https://api.solapi.com/")]
    pub solapi_url: Url,

    /// Where Twilio is
    #[arg(long, env, default_value = "https://api.twilio.com/")]
    pub twilio_url: Url,

    /// How the simulated gateway behaves.
    #[command(flatten)]
    pub simulated: SimulatedGatewaySettings,
}

impl GatewaySettings {
    /// Says in one line what is missing or wrong, if anything is.
    ///
    /// # Errors
    /// When the chosen gateway cannot be reached with these settings and this environment.
    pub fn validate(&self) -> Result<(), String> {
        self.gateway().map(drop)
    }

    /// How long an exchange with the gateway may take.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.sms_timeout_ms)
    }

    /// The chosen gateway.
    ///
    /// # Errors
    /// As [`Self::validate`].
    pub fn gateway(&self) -> Result<Gateway, String> {
        Ok(match self.sms_gateway {
            GatewayKind::Simulated => Gateway::Simulated(SimulatedGateway::new(self.simulated.clone())),
            GatewayKind::Solapi => {
                let base = base("--solapi-url (SOLAPI_URL)", &self.solapi_url)?;
                let account = self.account(base, "SOLAPI_API_KEY", "SOLAPI_API_SECRET")?;
                Gateway::Solapi(Solapi::new(account, self.timeout()).map_err(no_tls)?)
            }
            GatewayKind::Twilio => {
                let base = base("--twilio-url (TWILIO_URL)", &self.twilio_url)?;
                let account = self.account(base, "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")?;
                Gateway::Twilio(Twilio::new(account, self.timeout()).map_err(no_tls)?)
            }
        })
    }

    fn account(&self, base: Url, id: &str, secret: &str) -> Result<Account, String> {
        Ok(Account {
            base,
            sender: self.sender()?,
            id: variable(id)?,
            secret: SecretString::from(variable(secret)?),
        })
    }

    fn sender(&self) -> Result<String, String> {
        match self.sms_sender.as_deref().map(str::trim) {
            Some(sender) if !sender.is_empty() => Ok(sender.to_owned()),
            _ => Err("--sms-sender (SMS_SENDER) is needed with this gateway".to_owned()),
        }
    }
}

fn no_tls(error: reqwest::Error) -> String {
    format!("a client of the gateway cannot be made: {}", chain(&error))
}

fn base(setting: &str, url: &Url) -> Result<Url, String> {
    let is_base =
        matches!(url.scheme(), "http" | "https") && url.path().ends_with('/') && url.query().is_none();
    if is_base { Ok(url.clone()) } else { Err(format!("{setting} is not like https://host/")) }
}

/// A variable that goes into a header or a URL.
fn variable(name: &str) -> Result<String, String> {
    let value = env::var(name).unwrap_or_default();
    let is_fine = !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if is_fine { Ok(value) } else { Err(format!("{name} is missing in the environment, or not a key")) }
}
