//! Stands in for the point service, well or badly.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use chassis::testing::DEADLINE;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::server::listen;

/// The stub. What it was asked can be read; an answer that is held back can be released.
pub struct StubPoint {
    url: Url,
    shared: Arc<Shared>,
    /// Bound, but not listened on: nobody else gets the port, and who connects is refused.
    _refusing: Option<TcpSocket>,
}

/// What a request meets before the usual answer comes to be given.
#[derive(Clone, Copy, Debug)]
pub enum Turn {
    /// No answer, ever.
    Silence,
    /// This status.
    Status(u16),
}

struct Shared {
    /// What the first requests meet, or all as long as one is set for all.
    turns: Mutex<(VecDeque<Turn>, Option<Turn>)>,
    /// What is answered; `None`: what the real one answers.
    answer: Option<(StatusCode, String)>,
    /// Closed once answers may go out.
    gate: Semaphore,
    received: watch::Sender<Vec<Received>>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

impl StubPoint {
    /// Forfeits at once.
    pub async fn forfeiting() -> Self {
        let stub = Self::holding().await;
        stub.release();
        stub
    }

    /// Forfeits, but answers only once [`Self::release`] is called.
    pub async fn holding() -> Self {
        Self::serving(Shared::new(None)).await
    }

    /// Answers everything the same.
    pub async fn answering(status: StatusCode, body: impl Into<String>) -> Self {
        let stub = Self::holding_back(status, body).await;
        stub.release();
        stub
    }

    /// Answers everything the same, but only once [`Self::release`] is called.
    pub async fn holding_back(status: StatusCode, body: impl Into<String>) -> Self {
        Self::serving(Shared::new(Some((status, body.into())))).await
    }

    /// Forfeits, once so many requests have met something else.
    pub async fn forfeiting_after(turns: impl IntoIterator<Item = Turn>) -> Self {
        let stub = Self::forfeiting().await;
        stub.shared.turns.lock().unwrap().0.extend(turns);
        stub
    }

    /// From now on all requests meet this, or with `None` the usual answer.
    pub fn turn(&self, turn: Option<Turn>) {
        self.shared.turns.lock().unwrap().1 = turn;
    }

    /// How many requests have arrived.
    pub fn count(&self) -> usize {
        self.shared.received.borrow().len()
    }

    /// Nobody listens.
    pub fn refused() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self {
            url: url(socket.local_addr().unwrap()),
            shared: Arc::new(Shared::new(None)),
            _refusing: Some(socket),
        }
    }

    /// Reads some of the request and resets the connection.
    pub async fn resetting() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url(listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let _ = connection.read(&mut [0; 64]).await;
                connection.set_zero_linger().unwrap();
            }
        });
        Self { url, shared: Arc::new(Shared::new(None)), _refusing: None }
    }

    async fn serving(shared: Shared) -> Self {
        let shared = Arc::new(shared);
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        Self { url: url(listen(router).await), shared, _refusing: None }
    }

    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// Lets all answers go out, now and later.
    pub fn release(&self) {
        self.shared.gate.close();
    }

    /// Waits until so many requests have arrived, and returns all that have.
    pub async fn received(&self, count: usize) -> Vec<Received> {
        let mut received = self.shared.received.subscribe();
        let enough = received.wait_for(|all| all.len() >= count);
        timeout(DEADLINE, enough).await.expect("nobody asks").unwrap().clone()
    }
}

impl Shared {
    fn new(answer: Option<(StatusCode, String)>) -> Self {
        Self { turns: Mutex::default(), answer, gate: Semaphore::new(0), received: watch::Sender::default() }
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let member_id: Option<i64> = uri.path().rsplit('/').next().and_then(|id| id.parse().ok());
    let received =
        Received { method, path: uri.path().to_owned(), headers, body: serde_json::from_str(&body).unwrap() };
    shared.received.send_modify(|all| all.push(received));
    let turn = {
        let mut turns = shared.turns.lock().unwrap();
        turns.1.or_else(|| turns.0.pop_front())
    };
    match turn {
        None => {}
        Some(Turn::Silence) => std::future::pending().await,
        Some(Turn::Status(status)) => return StatusCode::from_u16(status).unwrap().into_response(),
    }
    let _ = shared.gate.acquire().await;
    shared.answer.clone().map_or_else(
        || {
            let answer = json!({ "memberId": member_id, "forfeitedPoint": 1_000, "remainPoint": 0 });
            axum::Json(answer).into_response()
        },
        |answer| answer.into_response(),
    )
}

fn url(address: std::net::SocketAddr) -> Url {
    Url::parse(&format!("http://{address}/")).unwrap()
}
