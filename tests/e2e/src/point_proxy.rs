//! Stands between member and point, and spoils their conversation.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const GARBAGE: &[u8] = b"\0\x16 this is no HTTP\r\n\r\n";

/// What becomes of what is said. Changes count for what is said from then on, also on open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mischief {
    /// Nothing.
    None,
    /// Answers come late.
    Delay(Duration),
    /// Requests arrive, and instead of the answer the connection is reset.
    Reset,
    /// Requests arrive, and the answer never does.
    Swallow,
    /// Requests arrive, and the answer is no HTTP.
    Garble,
    /// Connections are made, and nothing arrives.
    BlackHole,
}

/// A proxy in front of a port on 127.0.0.1. It ends when it is dropped.
#[derive(Debug)]
pub struct PointProxy {
    port: u16,
    mischief: watch::Sender<Mischief>,
    accepting: JoinHandle<()>,
}

impl PointProxy {
    /// In front of this port, to begin with without mischief.
    pub async fn start(upstream: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (mischief, current) = watch::channel(Mischief::None);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // An error is the end of a connection, of which its ends know by themselves.
                tokio::spawn(converse(client, upstream, current.clone()));
            }
        });
        Ok(Self { port, mischief, accepting })
    }

    /// `http://127.0.0.1:<port>/`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// From now on.
    pub fn set(&self, mischief: Mischief) {
        self.mischief.send_replace(mischief);
    }
}

impl Drop for PointProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn converse(
    mut client: TcpStream,
    upstream: u16,
    mischief: watch::Receiver<Mischief>,
) -> io::Result<()> {
    let mut point = TcpStream::connect(("127.0.0.1", upstream)).await?;
    let (mut request, mut answer) = (vec![0; 16_384], vec![0; 16_384]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                if *mischief.borrow() != Mischief::BlackHole {
                    point.write_all(&request[..length]).await?;
                }
            }
            read = point.read(&mut answer) => {
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                let current = *mischief.borrow();
                match current {
                    Mischief::None => client.write_all(&answer[..length]).await?,
                    Mischief::Delay(delay) => {
                        tokio::time::sleep(delay).await;
                        client.write_all(&answer[..length]).await?;
                    }
                    Mischief::Reset => return client.set_zero_linger(),
                    Mischief::Garble => {
                        client.write_all(GARBAGE).await?;
                        return Ok(());
                    }
                    Mischief::Swallow | Mischief::BlackHole => {}
                }
            }
        }
    }
}
