//! The port to an SMS gateway.

mod simulated;

use std::future::Future;

pub use simulated::{SimulatedGateway, SimulatedGatewaySettings};

use crate::domain::PhoneNo;

/// A text message to be sent.
#[derive(Clone, Debug)]
pub struct Sms<'a> {
    /// What the gateway can know a repetition by: the message's id.
    pub client_reference: i64,
    /// Where it goes.
    pub to: &'a PhoneNo,
    /// What it says.
    pub text: &'a str,
}

/// Why a gateway did not accept a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It never will.
    #[error("refused: {0}")]
    Refused(String),
    /// It may later.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// Sends text messages.
pub trait SmsGateway: Send + Sync + 'static {
    /// Hands a message over; `Ok` when the gateway has accepted it.
    fn send(&self, sms: Sms<'_>) -> impl Future<Output = Result<(), SendError>> + Send;
}
