//! Listeners that hold only so many connections at a time. Further ones wait: one accepted, the others in the kernel's backlog,
//! where they cost no descriptor. While one waits, whoever gets an answer gives its place up, as clients keep connections that
//! they do not use for now.

use std::future::{Future, Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use axum_server::{AddrListener, Address};
use metrics::{Gauge, gauge};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Layer;

use crate::error::chain;
use crate::metrics::{HTTP_CONNECTIONS, HTTP_CONNECTIONS_LIMIT};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Opens a listener.
///
/// # Errors
/// When the address cannot be bound; the error names it.
pub(crate) fn listener(address: SocketAddr) -> anyhow::Result<TcpListener> {
    bind(address).with_context(|| format!("cannot listen on {address}"))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A listener with a bounded number of places for connections.
pub(super) struct LimitedListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
    is_wanted: Arc<AtomicBool>,
    open: Gauge,
}

impl LimitedListener {
    pub(super) fn new(listener: TcpListener, name: &'static str, most_connections: usize) -> Self {
        gauge!(HTTP_CONNECTIONS_LIMIT, "listener" => name).set(most_connections as f64);
        Self::with_places(listener, name, most_connections)
    }

    pub(super) fn unlimited(listener: TcpListener, name: &'static str) -> Self {
        Self::with_places(listener, name, Semaphore::MAX_PERMITS)
    }

    fn with_places(listener: TcpListener, name: &'static str, places: usize) -> Self {
        let open = gauge!(HTTP_CONNECTIONS, "listener" => name);
        open.set(0.0);
        Self { listener, places: Arc::new(Semaphore::new(places)), is_wanted: Arc::default(), open }
    }

    /// Waits for a free place for a connection.
    async fn acquire_place(&self) -> io::Result<OwnedSemaphorePermit> {
        if let Ok(free) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(free);
        }
        self.is_wanted.store(true, Ordering::Relaxed);
        let free = Arc::clone(&self.places).acquire_owned().await;
        self.is_wanted.store(false, Ordering::Relaxed);
        free.map_err(io::Error::other)
    }
}

/// Tells the server by its type which listener to use. It stands for all addresses, as nobody asks for one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limited;

impl Address for Limited {
    type Stream = Placed;
    type Listener = LimitedListener;
}

impl AddrListener<Placed, Limited> for LimitedListener {
    fn bind_to(_: Limited) -> impl Future<Output = io::Result<Self>> + Send {
        ready(Err(io::Error::new(io::ErrorKind::Unsupported, "a limited listener is opened beforehand")))
    }

    /// The server tries again after an error, so this is the place to tell of it: most likely that the process has run
    /// out of descriptors.
    async fn accept_stream(&self) -> io::Result<(Placed, Limited)> {
        let accepted = self.listener.accept().await;
        let (stream, _) = accepted.inspect_err(|error| {
            tracing::warn!(error = chain(error), "cannot accept a connection");
        })?;
        let place = Place::new(self.acquire_place().await?, Arc::clone(&self.is_wanted), self.open.clone());
        Ok((Placed { stream, place }, Limited))
    }

    fn get_local_addr(&self) -> io::Result<Limited> {
        Ok(Limited)
    }
}

/// A connection and the place it takes.
pub(super) struct Placed {
    stream: TcpStream,
    place: Place,
}

/// A place that is free again when this is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    is_wanted: Arc<AtomicBool>,
    open: Gauge,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit, is_wanted: Arc<AtomicBool>, open: Gauge) -> Self {
        open.increment(1.0);
        Self { _permit: permit, is_wanted, open }
    }

    /// Whether another connection waits for a place.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

/// Lets the service of a connection, which lives as long as the connection, keep the place. Sets `TCP_NODELAY`.
#[derive(Clone, Copy)]
pub(super) struct KeepPlace;

impl<S> Accept<Placed, S> for KeepPlace {
    type Stream = TcpStream;
    type Service = AddExtension<S, Arc<Place>>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, Placed { stream, place }: Placed, service: S) -> Self::Future {
        let service = Extension(Arc::new(place)).layer(service);
        ready(stream.set_nodelay(true).map(|()| (stream, service)))
    }
}
