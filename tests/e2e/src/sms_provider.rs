//! Stands in for SOLAPI: accepts each message once, by our reference, and keeps what it was sent.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The secret of the account: to be found in no log.
pub const SMS_SECRET: &str = "Xx0SecretOfTheSmsAccount0xX";

/// How a request is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Messages are accepted.
    Accepting,
    /// Recipients are refused: not a subscriber.
    Refusing,
    /// 503, and nothing is accepted.
    Down,
    /// Messages are accepted, and nobody is told.
    Silent,
}

/// The provider, on a port of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct SmsProvider {
    port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
struct Shared {
    mood: Mutex<Mood>,
    latency: Duration,
    /// How often each message came, and what was accepted of it, by our reference.
    messages: Mutex<HashMap<String, (u32, Option<Value>)>>,
}

impl SmsProvider {
    /// Starts in the mood to accept, and takes so long for each answer.
    pub async fn start(latency: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            mood: Mutex::new(Mood::Accepting),
            latency,
            messages: Mutex::new(HashMap::new()),
        });
        let router = Router::new()
            .route("/messages/v4/send", post(send))
            .route("/messages/v4/list", get(list))
            .with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, shared, serving }
    }

    /// What lets the message service send here.
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, &'static str, String)> {
        let settings = [
            ("SMS_GATEWAY", "solapi".to_owned()),
            ("SOLAPI_URL", format!("http://127.0.0.1:{}/", self.port)),
            ("SOLAPI_API_KEY", "NCSAYU7YDBXYORXC".to_owned()),
            ("SOLAPI_API_SECRET", SMS_SECRET.to_owned()),
            ("SMS_SENDER", "029302266".to_owned()),
            ("SMS_TIMEOUT_MS", "500".to_owned()),
        ];
        settings.map(|(name, value)| ("message", name, value)).into()
    }

    /// From now on.
    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// What the accepted messages to a number say.
    #[must_use]
    pub fn texts(&self, number: &str) -> Vec<String> {
        let messages = self.shared.messages();
        let stored = messages.values().filter_map(|(_, stored)| stored.as_ref());
        let to_this = stored.filter(|stored| stored["to"] == number);
        to_this.filter_map(|stored| stored["text"].as_str().map(str::to_owned)).collect()
    }

    /// How often each message came that was accepted, by our reference.
    #[must_use]
    pub fn accepted(&self) -> HashMap<String, u32> {
        let messages = self.shared.messages();
        let accepted = messages.iter().filter(|(_, (_, stored))| stored.is_some());
        accepted.map(|(reference, (times, _))| (reference.clone(), *times)).collect()
    }
}

impl Drop for SmsProvider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn messages(&self) -> MutexGuard<'_, HashMap<String, (u32, Option<Value>)>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts a message, unless it has it.
    fn accept(&self, message: &Value) -> Value {
        let reference = message["customFields"]["clientReference"].as_str().expect("a reference").to_owned();
        let mut messages = self.messages();
        let number = messages.len();
        let (times, stored) = messages.entry(reference).or_default();
        *times += 1;
        let stored = stored.get_or_insert_with(|| {
            let mut stored = message.clone();
            stored["messageId"] = format!("M4V{number}").into();
            stored["statusCode"] = "2000".into();
            stored
        });
        stored.clone()
    }
}

async fn send(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> (StatusCode, Json<Value>) {
    let message = &request["message"];
    match shared.mood() {
        Mood::Accepting => {
            let stored = shared.accept(message);
            tokio::time::sleep(shared.latency).await;
            (StatusCode::OK, Json(stored))
        }
        Mood::Refusing => (StatusCode::OK, Json(json!({ "messageId": "M4V", "statusCode": "3032" }))),
        Mood::Down => (StatusCode::SERVICE_UNAVAILABLE, Json(Value::Null)),
        Mood::Silent => {
            shared.accept(message);
            std::future::pending().await
        }
    }
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> (StatusCode, Json<Value>) {
    match shared.mood() {
        Mood::Accepting | Mood::Refusing => {}
        Mood::Down => return (StatusCode::SERVICE_UNAVAILABLE, Json(Value::Null)),
        Mood::Silent => std::future::pending().await,
    }
    let messages = shared.messages();
    let stored = messages.values().filter_map(|(_, stored)| stored.as_ref());
    let to_this = stored.filter(|stored| stored["to"].as_str() == query.get("value").map(String::as_str));
    let list: Map<String, Value> = to_this
        .map(|stored| (stored["messageId"].as_str().unwrap_or_default().to_owned(), stored.clone()))
        .collect();
    (StatusCode::OK, Json(json!({ "messageList": list })))
}
