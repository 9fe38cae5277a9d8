//! SOLAPI (Korea): `POST /messages/v4/send`, and `GET /messages/v4/list` for what became of a message.
//!
//! Source: SOLAPI's API reference (API key authentication, single message, message list, message status codes).

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;

use super::api::{self, Account, exchange, unavailable};
use super::{Accepted, SendError, Sms, SmsGateway};

/// Messages are listed by recipient; so many of the newest are looked through.
const LISTED: &str = "100";

/// A client of SOLAPI.
#[derive(Debug)]
pub struct Solapi {
    http: Client,
    account: Account,
}

#[derive(Serialize)]
struct Request<'a> {
    message: NewMessage<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewMessage<'a> {
    to: &'a str,
    from: &'a str,
    text: &'a str,
    custom_fields: CustomFields,
}

/// What SOLAPI keeps with a message and gives back with it.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct CustomFields {
    client_reference: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    message_id: String,
    status_code: String,
    #[serde(default)]
    custom_fields: CustomFields,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    message_list: HashMap<String, Value>,
}

/// What a status code says: 2000 accepted, 3000 passed on to the carrier, 4000 received; the rest are errors.
enum Verdict {
    Accepted,
    /// Something is the matter with the recipient.
    Refused,
    Other,
}

impl Verdict {
    fn of(status_code: &str) -> Self {
        match status_code {
            "2000" | "3000" | "4000" => Self::Accepted,
            // Blocked or unsubscribed, by SOLAPI or the carrier; no such number or subscriber; a device without SMS;
            // registered against spam.
            "1060" | "1061" | "2060" | "2061" | "3010" | "3032" | "3050" | "3055" => Self::Refused,
            _ => Self::Other,
        }
    }
}

impl Solapi {
    /// Sends from an account: its id is the API key, its sender a registered number in digits.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(account: Account, timeout: Duration) -> reqwest::Result<Self> {
        Ok(Self { http: api::client(timeout)?, account })
    }

    fn authorization(&self) -> Result<HeaderValue, SendError> {
        let salt = hex::encode(rand::random::<[u8; 16]>());
        let value = authorization(&self.account, Utc::now(), &salt);
        let mut value = value
            .and_then(|value| HeaderValue::try_from(value).ok())
            .ok_or_else(|| unavailable("the request cannot be signed", None))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn url(&self, path: &str) -> Result<Url, SendError> {
        self.account.base.join(path).map_err(|_| unavailable("the gateway's URL is wrong", None))
    }
}

/// `HMAC-SHA256 apiKey=…, date=…, salt=…, signature=…`: the signature is over date and salt, and never used twice.
fn authorization(account: &Account, now: DateTime<Utc>, salt: &str) -> Option<String> {
    let Account { id: api_key, secret, .. } = account;
    let date = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mac: Hmac<Sha256> = Hmac::new_from_slice(secret.expose_secret().as_bytes()).ok()?;
    let signature = hex::encode(mac.chain_update(&date).chain_update(salt).finalize().into_bytes());
    Some(format!("HMAC-SHA256 apiKey={api_key}, date={date}, salt={salt}, signature={signature}"))
}

impl SmsGateway for Solapi {
    async fn send(&self, sms: Sms<'_>) -> Result<Accepted, SendError> {
        let custom_fields = CustomFields { client_reference: Some(sms.client_reference.to_string()) };
        let message =
            NewMessage { to: sms.to.national(), from: &self.account.sender, text: sms.text, custom_fields };
        let request = self.http.post(self.url("messages/v4/send")?).json(&Request { message });
        let reply = exchange(request.header(AUTHORIZATION, self.authorization()?)).await?;
        if reply.status.is_client_error() {
            let code = reply.body["errorCode"].as_str().or(reply.body["statusCode"].as_str());
            return Err(refusal(reply.status, code.unwrap_or_default()));
        }
        let status = reply.status;
        let stored: Stored = reply.parse()?;
        match Verdict::of(&stored.status_code) {
            Verdict::Accepted => Ok(Accepted { gateway_message_id: Some(stored.message_id) }),
            Verdict::Refused | Verdict::Other => Err(refusal(status, &stored.status_code)),
        }
    }

    async fn find(&self, sms: Sms<'_>) -> Result<Option<Accepted>, SendError> {
        let mut url = self.url("messages/v4/list")?;
        url.query_pairs_mut().extend_pairs([
            ("criteria", "to"),
            ("cond", "eq"),
            ("value", sms.to.national()),
            ("limit", LISTED),
        ]);
        let reply = exchange(self.http.get(url).header(AUTHORIZATION, self.authorization()?)).await?;
        if reply.status.is_client_error() {
            return Err(unavailable(format!("SOLAPI answered {}", reply.status.as_u16()), None));
        }
        let reference = sms.client_reference.to_string();
        let list: List = reply.parse()?;
        // Of several attempts each may have left a record; what others have sent need not look like ours.
        let records =
            list.message_list.into_values().filter_map(|it| serde_json::from_value::<Stored>(it).ok());
        let mut ours = records
            .filter(|stored| stored.custom_fields.client_reference.as_deref() == Some(&*reference))
            .filter(|stored| matches!(Verdict::of(&stored.status_code), Verdict::Accepted));
        Ok(ours.next().map(|stored| Accepted { gateway_message_id: Some(stored.message_id) }))
    }
}

/// An error by its code. What is no code is not repeated: it may be the number.
fn refusal(status: StatusCode, code: &str) -> SendError {
    let is_number = code.len() == 4 && code.bytes().all(|b| b.is_ascii_digit());
    let is_name = (1..=40).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphabetic());
    let reason = match is_number || is_name {
        true => format!("SOLAPI {code}"),
        false => format!("SOLAPI answered {}", status.as_u16()),
    };
    match Verdict::of(code) {
        Verdict::Refused => SendError::Refused { reason },
        Verdict::Accepted | Verdict::Other => unavailable(reason, None),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn a_request_is_signed_as_documented() {
        let account = Account {
            base: "https://api.solapi.com/".parse().unwrap(),
            sender: "029302266".to_owned(),
            id: "testKey".to_owned(),
            secret: SecretString::from("testSecret"),
        };
        let date = "2025-09-14T12:34:56Z".parse().unwrap();
        let header = authorization(&account, date, "Abc123XYZ789abcdEFGHijklMNOPqr").unwrap();
        assert_eq!(
            header,
            "HMAC-SHA256 apiKey=testKey, date=2025-09-14T12:34:56Z, salt=Abc123XYZ789abcdEFGHijklMNOPqr, \
             signature=69607016f2059c0bcb97954551ec3a03323ada290e6c98ed1d15b0f34d51b1a1"
        );
    }

    #[test]
    fn what_solapi_writes_is_not_repeated_unless_it_is_a_code() {
        for (code, reason) in [
            ("1030", "SOLAPI 1030"),
            ("ValidationError", "SOLAPI ValidationError"),
            ("", "SOLAPI answered 400"),
            ("01085581234", "SOLAPI answered 400"),
            ("to 010-8558-1234 is wrong", "SOLAPI answered 400"),
        ] {
            assert_eq!(refusal(StatusCode::BAD_REQUEST, code), unavailable(reason, None), "{code}");
        }
    }
}
