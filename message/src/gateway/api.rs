//! One exchange with a gateway's HTTP API, and what its outcome says about a message.

use std::time::{Duration, SystemTime};

use chrono::TimeDelta;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::SendError;

/// Largest answer that is read.
const LARGEST_ANSWER: usize = 1 << 20;

/// An account with a gateway.
#[derive(Clone, Debug)]
pub struct Account {
    /// Where the gateway's API is, with a slash at the end.
    pub base: Url,
    /// Whom messages come from.
    pub sender: String,
    /// Names the account.
    pub id: String,
    /// Proves that requests come from its owner.
    pub secret: SecretString,
}

/// A client that follows no redirects: they would take the credentials along.
///
/// # Errors
/// When TLS cannot be set up.
pub(super) fn client(timeout: Duration) -> reqwest::Result<Client> {
    Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout / 2)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("mileage-message/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// A gateway's verdict: 2xx or 4xx, with its JSON.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// `null` when a 4xx has no JSON.
    pub(super) body: Value,
}

impl Reply {
    /// The body of a 2xx. One that does not fit leaves open what became of the message.
    pub(super) fn parse<T: DeserializeOwned>(self) -> Result<T, SendError> {
        serde_json::from_value(self.body).map_err(|_| unknown("the gateway's answer cannot be understood"))
    }
}

/// Sends a request, and sorts out what is nobody's verdict: no connection, no answer, an overloaded or broken gateway.
pub(super) async fn exchange(request: RequestBuilder) -> Result<Reply, SendError> {
    let response = request.send().await.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            unavailable("there is no connection to the gateway", None)
        } else if error.is_timeout() {
            unknown("the gateway did not answer in time")
        } else {
            unknown("the connection to the gateway broke")
        }
    })?;
    let status = response.status();
    let retry_after = retry_after(&response);
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(unavailable("the gateway wants fewer requests (429)", retry_after));
    }
    if !status.is_success() && !status.is_client_error() {
        let reason = format!("the gateway answered {}", status.as_u16());
        return Err(SendError::Unknown { reason, retry_after });
    }
    let body = read(response).await;
    match body.and_then(|body| serde_json::from_slice(&body).ok()) {
        Some(body) => Ok(Reply { status, body }),
        None if status.is_client_error() => Ok(Reply { status, body: Value::Null }),
        None => Err(unknown("the gateway's answer cannot be read")),
    }
}

async fn read(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_ANSWER {
            return None;
        }
    }
    Some(body)
}

/// `Retry-After` in seconds or as a date (RFC 9110 §10.2.3).
fn retry_after(response: &Response) -> Option<TimeDelta> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX))
}

pub(super) fn unavailable(reason: impl Into<String>, retry_after: Option<TimeDelta>) -> SendError {
    SendError::Unavailable { reason: reason.into(), retry_after }
}

pub(super) fn unknown(reason: impl Into<String>) -> SendError {
    SendError::Unknown { reason: reason.into(), retry_after: None }
}
