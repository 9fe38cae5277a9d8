//! A provider of SMS on a port of its own, that answers as it is told to, and remembers what it was asked.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use reqwest::Url;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// With this status, these further header lines and this body.
    Answer(u16, &'static str, String),
    /// With something that is no HTTP.
    Garbage,
    /// The connection is reset.
    Reset,
    /// Half an answer, then the end.
    Half,
    /// Never.
    Silence,
}

impl Reply {
    /// An answer without further header lines.
    pub fn answer(status: u16, body: impl ToString) -> Self {
        Self::Answer(status, "", body.to_string())
    }
}

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Such as `POST /path?query`.
    pub line: String,
    /// By lower-case name.
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// The provider. It ends when it is dropped.
pub struct Provider {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    serving: JoinHandle<()>,
}

impl Provider {
    /// Answers every request alike.
    pub async fn replying(reply: Reply) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(converse(stream, reply.clone(), Arc::clone(&log)));
            }
        });
        Self { port, asked, serving }
    }

    pub fn url(&self) -> Url {
        format!("http://127.0.0.1:{}/", self.port).parse().unwrap()
    }

    /// The only request.
    pub fn asked(&self) -> Asked {
        let asked = self.asked.lock().unwrap();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn converse(stream: TcpStream, reply: Reply, log: Arc<Mutex<Vec<Asked>>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let asked = read(&mut stream).await?;
    log.lock().unwrap().push(asked);
    let answer = match &reply {
        Reply::Answer(status, headers, body) => format!(
            "HTTP/1.1 {status} x\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
        Reply::Garbage => "\u{16}\u{3} this is no HTTP\r\n\r\n".to_owned(),
        Reply::Half => "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"messageId\":".to_owned(),
        Reply::Reset => return stream.get_ref().set_zero_linger(),
        Reply::Silence => std::future::pending().await,
    };
    stream.get_mut().write_all(answer.as_bytes()).await?;
    stream.get_mut().shutdown().await
}

async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Asked> {
    let mut asked = Asked::default();
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    asked.line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        asked.headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = asked.headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    asked.body = String::from_utf8(body).unwrap();
    Ok(asked)
}
