//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a command that is sent again takes effect once.
//!
//! A key counts for who asks, for the method and path, and for at least a day. What took effect is remembered in the
//! transaction of the effect, and what the rules refused with it: who sends it again wants to know what became of it, not to
//! have it decided anew. What was not decided (the request makes no sense, something failed, or the client is to try again) is
//! not remembered.

mod remembered;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use sqlx::migrate::Migrator;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::db::Migrations;
use crate::extract::JsonBytes;
use crate::hal::Recorded;
use crate::problem::RETRY_SHORTLY;
use crate::{Principal, Problem, openapi};

pub use self::remembered::{purge, record_all_in_tx, recorded_all_in_tx, start_purging, try_lock_all_in_tx};

static MIGRATOR: Migrator = sqlx::migrate!("./migrations/idempotency");

/// The table of remembered commands: for services that take keys.
pub const MIGRATIONS: Migrations = Migrations { table: "_sqlx_migrations_idempotency", migrator: &MIGRATOR };

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks an answer that was given before.
const HIT: HeaderName = HeaderName::from_static("idempotency-hit");
const LONGEST_KEY: usize = 255;

/// The JSON body of a command, with its key. Rejections as those of [`Json`](crate::extract::Json), and 400
/// `invalid-idempotency-key`.
#[derive(Debug)]
pub struct Command<T> {
    /// What the client asks for.
    pub body: T,
    /// Lets it take effect once.
    pub once: Once,
}

/// Lets a command take effect once, if the client sent a key.
#[derive(Debug, Clone, Default)]
pub struct Once(Option<Keyed>);

#[derive(Debug, Clone)]
struct Keyed {
    id: [u8; 32],
    body_hash: [u8; 32],
}

/// Why a command with a key is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OnceError {
    /// The same command is being carried out at the moment.
    #[error("a request with this key is still being carried out")]
    InProgress,
    /// The key came with another body before.
    #[error("the key was used for another request")]
    OtherBody,
}

impl IntoParams for Once {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = format!(
            "Lets the command take effect once, however often it is sent; 1 to {LONGEST_KEY} characters, quoted or bare"
        );
        vec![openapi::header("Idempotency-Key", &description)]
    }
}

/// What a command may be refused with because of its key, for the document.
#[must_use]
pub fn problems() -> Vec<Problem> {
    vec![invalid_key(), OnceError::InProgress.into(), OnceError::OtherBody.into()]
}

fn invalid_key() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid-idempotency-key",
        format!("An Idempotency-Key has 1 to {LONGEST_KEY} printable ASCII characters, and comes once."),
    )
}

impl From<OnceError> for Problem {
    fn from(error: OnceError) -> Self {
        match error {
            OnceError::InProgress => Self::conflict(
                "request-in-progress",
                "A request with this Idempotency-Key is still being carried out.",
            )
            .with_retry_after(RETRY_SHORTLY),
            OnceError::OtherBody => Self::unprocessable(
                "idempotency-key-reused",
                "This Idempotency-Key was used for a request with another body.",
            ),
        }
    }
}

impl Once {
    /// The same key for a narrower scope than the path: for resources whose names can be used again.
    #[must_use]
    pub fn within(&self, scope: &[u8]) -> Self {
        Self(self.0.as_ref().map(|keyed| Keyed {
            id: Sha256::new().chain_update(keyed.id).chain_update(scope).finalize().into(),
            body_hash: keyed.body_hash,
        }))
    }

    /// Whether the client sent a key.
    #[must_use]
    pub const fn has_key(&self) -> bool {
        self.0.is_some()
    }
}

impl Keyed {
    /// The key of its lock.
    fn lock(&self) -> i64 {
        let [a, b, c, d, e, f, g, h, ..] = self.id;
        i64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// An answer as it was remembered.
#[derive(Deserialize)]
#[serde(untagged)]
enum Remembered {
    Resource(Recorded),
    Problem(Problem),
}

/// Gives an answer again, marked as such, of which [`Resource::record`](crate::hal::Resource::record) or [`Problem::record`]
/// made a text.
///
/// # Errors
/// 500 where the text is something else.
pub fn replay(text: &str) -> Result<Response, Problem> {
    Ok(match serde_json::from_str(text).map_err(|error| Problem::internal(&error))? {
        Remembered::Resource(recorded) => hit(recorded),
        Remembered::Problem(problem) => hit(problem),
    })
}

/// Marks an answer as one that was given before.
pub fn hit(response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    response.headers_mut().insert(HIT, HeaderValue::from_static("true"));
    response
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Command<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let key = key(&parts.headers).map_err(Problem::into_response)?;
        let principal =
            Principal::from_request_parts(&mut parts, state).await.map_err(Problem::into_response)?;
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let JsonBytes { value, bytes } =
            JsonBytes::from_request(Request::from_parts(parts, body), state).await?;
        let keyed = key.map(|key| Keyed {
            id: id(&principal, &method, &path, &key),
            body_hash: body_hash(&key, &bytes),
        });
        Ok(Self { body: value, once: Once(keyed) })
    }
}

fn id(principal: &Principal, method: &Method, path: &str, key: &str) -> [u8; 32] {
    let scope = [principal.actor().as_str(), method.as_str(), path, key].join("\n");
    Sha256::digest(scope).into()
}

/// With the key, which is not stored: else the few phone numbers that there are could be tried.
fn body_hash(key: &str, body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(key).chain_update(b"\n").chain_update(body).finalize().into()
}

/// The key, quoted as a structured field's string (RFC 8941 §3.3.3) or bare.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquote(quoted),
        None => Some(text.to_owned()),
    };
    match key {
        Some(key) if values.next().is_none() && is_key(&key) => Ok(Some(key)),
        _ => Err(invalid_key()),
    }
}

fn is_key(key: &str) -> bool {
    (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// What stands between the quotes, of which the first is gone.
fn unquote(quoted: &str) -> Option<String> {
    let mut key = String::new();
    let mut letters = quoted.chars();
    loop {
        match letters.next()? {
            '"' => return letters.next().is_none().then_some(key),
            '\\' => key.push(letters.next().filter(|escaped| ['"', '\\'].contains(escaped))?),
            letter => key.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Result<Option<String>, (u16, String)> {
        let headers = HeaderMap::from_iter([(KEY, HeaderValue::from_str(value).unwrap())]);
        key(&headers).map_err(|problem| (problem.status().as_u16(), problem.code().to_owned()))
    }

    #[test]
    fn a_key_is_quoted_or_bare_and_means_the_same() {
        assert_eq!(key(&HeaderMap::new()).unwrap(), None);
        for (value, key) in [
            ("abc", "abc"),
            ("\"abc\"", "abc"),
            ("  abc ", "abc"),
            ("\"a b\"", "a b"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ] {
            assert_eq!(parsed(value), Ok(Some(key.to_owned())), "{value}");
        }
        let longest = "k".repeat(255);
        assert_eq!(parsed(&longest), Ok(Some(longest)));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let refused = Err((400, "invalid-idempotency-key".to_owned()));
        let (long, very_long) = ("k".repeat(256), "k".repeat(10_000));
        for value in ["", "  ", "\"\"", "\"abc", "\"abc\"x", "\"a\\x\"", "\"a\\", "ключ", &long, &very_long]
        {
            assert_eq!(parsed(value), refused, "{value}");
        }
        let mut twice = HeaderMap::new();
        twice.append(KEY, HeaderValue::from_static("a"));
        twice.append(KEY, HeaderValue::from_static("a"));
        assert!(key(&twice).is_err());
    }

    #[test]
    fn a_key_counts_for_who_asks_and_what_for() {
        let (operator, shop) = (Principal::Operator, Principal::Shop("1".to_owned()));
        let ids = [
            id(&operator, &Method::POST, "/members", "k"),
            id(&shop, &Method::POST, "/members", "k"),
            id(&operator, &Method::PATCH, "/members", "k"),
            id(&operator, &Method::POST, "/points", "k"),
            id(&operator, &Method::POST, "/members", "l"),
        ];
        let mut different = ids.to_vec();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), ids.len());
    }

    #[test]
    fn who_does_not_know_the_key_cannot_try_bodies() {
        let body = br#"{"phoneNo":"01085581234"}"#;
        assert_eq!(body_hash("k", body), body_hash("k", body));
        assert_ne!(body_hash("k", body), body_hash("l", body));
        assert_ne!(body_hash("k", body), body_hash("k", b"{}"));
    }
}
