//! A client that is as rude as a test needs it to be.

// Each test file uses its own part of this.
#![allow(dead_code, missing_docs)]

pub mod hello;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub const DEADLINE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that this is a complete problem and returns its code.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        let code = body["code"].as_str().unwrap().to_owned();
        assert_eq!(body["type"], format!("urn:problem-type:mileage:{code}"));
        assert_eq!(body["status"], self.status);
        assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        assert!(body["instance"].as_str().unwrap().starts_with('/'), "{body}");
        code
    }
}

/// A connection that can be used badly.
pub struct Client(TcpStream);

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until the server closes the connection.
    pub async fn answer(&mut self) -> Answer {
        let mut bytes = Vec::new();
        timeout(DEADLINE, self.0.read_to_end(&mut bytes)).await.expect("the server does not close").unwrap();
        parse(&String::from_utf8(bytes).unwrap())
    }

    /// Whether the server closes the connection without a word.
    pub async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        timeout(DEADLINE, self.0.read(&mut byte)).await.is_ok_and(|read| matches!(read, Ok(0) | Err(_)))
    }
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// One request without a body, on a connection of its own. `line` is `GET /path`; `headers` are whole lines.
pub async fn ask(address: SocketAddr, line: &str, headers: &[&str]) -> Answer {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let mut client = Client::connect(address).await;
    client.send(format!("{line} HTTP/1.1\r\nhost: test:80\r\nconnection: close\r\n{headers}\r\n")).await;
    client.answer().await
}

/// One request with a JSON body.
pub async fn send_json(address: SocketAddr, line: &str, body: impl AsRef<[u8]>) -> Answer {
    send(address, line, "application/json", body).await
}

pub async fn send(address: SocketAddr, line: &str, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let mut client = Client::connect(address).await;
    client.send(head(line, content_type, body.len())).await;
    client.send(body).await;
    client.answer().await
}

pub fn head(line: &str, content_type: &str, length: usize) -> String {
    format!(
        "{line} HTTP/1.1\r\nhost: test:80\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
         content-length: {length}\r\n\r\n"
    )
}

/// Waits until the condition holds.
pub async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("it does not happen: {what}"));
}
