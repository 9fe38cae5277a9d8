//! The port to an SMS gateway, and the gateways behind it.

mod api;
mod settings;
mod simulated;
mod solapi;
mod twilio;

use std::future::Future;

use chrono::{DateTime, TimeDelta, Utc};

pub use api::Account;
pub use settings::{GatewayKind, GatewaySettings};
pub use simulated::{SimulatedGateway, SimulatedGatewaySettings};
pub use solapi::Solapi;
pub use twilio::Twilio;

use crate::domain::KoreanMobile;

/// A text message to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Sms<'a> {
    /// What the gateway can know a repetition by: the message's id.
    pub client_reference: i64,
    /// Where it goes.
    pub to: KoreanMobile<'a>,
    /// What it says.
    pub text: &'a str,
    /// Since when it can have been sent.
    pub queued_at: DateTime<Utc>,
}

/// The gateway has accepted a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// What it calls the message, if it said so.
    pub gateway_message_id: Option<String>,
}

/// Why a gateway did not accept a message. A reason never quotes what the gateway wrote: that may be the number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The recipient cannot be reached, and never will be.
    #[error("refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// It was certainly not accepted, and may be later. What an operator has to mend is here too (a wrong key, no
    /// credit, an unregistered sender): no member is to pay for that.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// How long the gateway asks to be left alone.
        retry_after: Option<TimeDelta>,
    },
    /// Nobody knows whether it was accepted.
    #[error("unknown: {reason}")]
    Unknown {
        /// Why.
        reason: String,
        /// How long the gateway asks to be left alone.
        retry_after: Option<TimeDelta>,
    },
}

/// Sends text messages.
pub trait SmsGateway: Send + Sync + 'static {
    /// Hands a message over; `Ok` when the gateway has accepted it.
    fn send(&self, sms: Sms<'_>) -> impl Future<Output = Result<Accepted, SendError>> + Send;

    /// Whether the gateway accepted this message before, as far as it can tell. To be asked before a message is sent
    /// again of which nobody knows what became.
    fn find(&self, sms: Sms<'_>) -> impl Future<Output = Result<Option<Accepted>, SendError>> + Send;
}

/// The gateway that the settings choose.
#[derive(Debug)]
pub enum Gateway {
    /// Built in; sends nothing.
    Simulated(SimulatedGateway),
    /// SOLAPI, in Korea.
    Solapi(Solapi),
    /// Twilio.
    Twilio(Twilio),
}

impl SmsGateway for Gateway {
    async fn send(&self, sms: Sms<'_>) -> Result<Accepted, SendError> {
        match self {
            Self::Simulated(gateway) => gateway.send(sms).await,
            Self::Solapi(gateway) => gateway.send(sms).await,
            Self::Twilio(gateway) => gateway.send(sms).await,
        }
    }

    async fn find(&self, sms: Sms<'_>) -> Result<Option<Accepted>, SendError> {
        match self {
            Self::Simulated(gateway) => gateway.find(sms).await,
            Self::Solapi(gateway) => gateway.find(sms).await,
            Self::Twilio(gateway) => gateway.find(sms).await,
        }
    }
}
