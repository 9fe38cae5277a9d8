//! Twilio: `POST …/Messages.json`, and the list of messages for what became of one.
//!
//! Source: Twilio's Messages resource (API version 2010-04-01) and error dictionary.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::{self, Account, exchange, unavailable};
use super::{Accepted, SendError, Sms, SmsGateway};

/// Messages are listed by recipient; so many of the newest are looked through.
const LISTED: &str = "100";

/// How far Twilio's clock and ours may be apart. Its times have no fractions of a second.
const SKEW: TimeDelta = TimeDelta::seconds(30);

/// Errors that say something about the recipient: not a number, not reachable, unsubscribed, not a mobile, a landline.
const REFUSALS: [u32; 6] = [21211, 21214, 21217, 21610, 21614, 21635];

/// A client of Twilio.
#[derive(Debug)]
pub struct Twilio {
    http: Client,
    account: Account,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NewMessage<'a> {
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messaging_service_sid: Option<&'a str>,
    body: &'a str,
}

#[derive(Deserialize)]
struct Stored {
    sid: String,
    status: String,
    error_code: Option<u32>,
    #[serde(default)]
    body: String,
    date_created: Option<String>,
}

impl Stored {
    fn is_accepted(&self) -> bool {
        !matches!(self.status.as_str(), "failed" | "undelivered" | "canceled")
    }
}

#[derive(Deserialize)]
struct List {
    messages: Vec<Value>,
}

impl Twilio {
    /// Sends from an account: its id is the account SID, its secret the auth token, its sender a number in E.164, an
    /// alphanumeric sender, or the SID (MG…) of a messaging service.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(account: Account, timeout: Duration) -> reqwest::Result<Self> {
        Ok(Self { http: api::client(timeout)?, account })
    }

    fn messages(&self) -> Result<Url, SendError> {
        let path = format!("2010-04-01/Accounts/{}/Messages.json", self.account.id);
        self.account.base.join(&path).map_err(|_| unavailable("the gateway's URL is wrong", None))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.account.id, Some(self.account.secret.expose_secret()))
    }
}

impl SmsGateway for Twilio {
    async fn send(&self, sms: Sms<'_>) -> Result<Accepted, SendError> {
        let to = sms.to.e164();
        let (from, service) = match self.account.sender.starts_with("MG") {
            true => (None, Some(self.account.sender.as_str())),
            false => (Some(self.account.sender.as_str()), None),
        };
        let message = NewMessage { to: &to, from, messaging_service_sid: service, body: sms.text };
        let reply = exchange(self.authorized(self.http.post(self.messages()?).form(&message))).await?;
        if reply.status.is_client_error() {
            let code = reply.body["code"].as_u64().and_then(|code| u32::try_from(code).ok());
            return Err(refusal(reply.status, code));
        }
        let status = reply.status;
        let stored: Stored = reply.parse()?;
        match stored.is_accepted() {
            true => Ok(Accepted { gateway_message_id: Some(stored.sid) }),
            false => Err(refusal(status, stored.error_code)),
        }
    }

    /// Twilio keeps no reference of ours: a message to this number with this text, not older than ours, is it.
    async fn find(&self, sms: Sms<'_>) -> Result<Option<Accepted>, SendError> {
        let mut url = self.messages()?;
        url.query_pairs_mut().append_pair("To", &sms.to.e164()).append_pair("PageSize", LISTED);
        let reply = exchange(self.authorized(self.http.get(url))).await?;
        if reply.status.is_client_error() {
            return Err(unavailable(format!("Twilio answered {}", reply.status.as_u16()), None));
        }
        let list: List = reply.parse()?;
        let is_ours = |stored: &Stored| {
            stored.is_accepted()
                && stored.body == sms.text
                && stored
                    .date_created
                    .as_deref()
                    .and_then(created)
                    .is_some_and(|at| at > sms.queued_at - SKEW)
        };
        let mut records =
            list.messages.into_iter().filter_map(|it| serde_json::from_value::<Stored>(it).ok());
        let ours = records.find(is_ours);
        Ok(ours.map(|stored| Accepted { gateway_message_id: Some(stored.sid) }))
    }
}

/// `Thu, 24 Aug 2023 05:01:45 +0000` (RFC 2822)
fn created(date: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(date).ok().map(|date| date.to_utc())
}

fn refusal(status: StatusCode, code: Option<u32>) -> SendError {
    match code {
        Some(code) if REFUSALS.contains(&code) => SendError::Refused { reason: format!("Twilio {code}") },
        Some(code) => unavailable(format!("Twilio {code}"), None),
        None => unavailable(format!("Twilio answered {}", status.as_u16()), None),
    }
}
