//! Clients that misbehave on a real connection.

use std::net::SocketAddr;
use std::time::Duration;

use chassis::http::{Limits, test_router_with};
use chassis::testing::DEADLINE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::server::listen;
use crate::support::{Service, applicant};

/// The service behind a port, with a short patience for bodies.
async fn listening(body_timeout: Duration) -> (Service, SocketAddr) {
    let service = Service::start().await;
    let limits = Limits { body_timeout, ..Limits::default() };
    let address = listen(test_router_with(service.routes.clone(), limits)).await;
    (service, address)
}

fn head(length: usize) -> String {
    format!(
        "POST /members HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// Everything that the server sends until it closes.
async fn answer(mut connection: TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = connection.read_to_end(&mut bytes);
    timeout(DEADLINE, reading).await.expect("the server does not close").unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_body_of_10_megabytes_is_too_large() {
    let (service, address) = listening(DEADLINE).await;
    let nickname = "n".repeat(10 * 1024 * 1024);
    let body = format!(r#"{{"phoneNo":"01085581234","nickname":"{nickname}"}}"#);
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(head(body.len()).as_bytes()).await.unwrap();
    connection.write_all(body.as_bytes()).await.unwrap();

    let answer = answer(connection).await;

    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains(r#""code":"payload-too-large""#), "{answer}");
    assert_eq!(service.counts().await, (0, 0));
}

#[tokio::test]
async fn a_client_that_falls_silent_in_the_middle_of_a_body_is_told_so() {
    let (service, address) = listening(Duration::from_millis(100)).await;
    let body = applicant(1).to_string();
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(head(body.len()).as_bytes()).await.unwrap();
    connection.write_all(&body.as_bytes()[..body.len() / 2]).await.unwrap();

    let answer = answer(connection).await;

    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains(r#""code":"request-timeout""#), "{answer}");
    assert_eq!(service.counts().await, (0, 0));
}

#[tokio::test]
async fn a_client_that_hangs_up_in_the_middle_of_a_body_changes_nothing() {
    let (service, address) = listening(DEADLINE).await;
    let body = applicant(1).to_string();
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(head(body.len()).as_bytes()).await.unwrap();
    // All but the last character: if what has arrived were ever taken for the whole, it would show.
    connection.write_all(&body.as_bytes()[..body.len() - 1]).await.unwrap();
    connection.shutdown().await.unwrap();

    // Nobody is left to be answered; that the server closes shows that it has noticed.
    let answer = answer(connection).await;

    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert_eq!(service.counts().await, (0, 0));
    service.join(1).await;
}
