//! The two listeners and their servers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::health::{Readiness, health_router, metrics_router};
use super::layered;
use super::listener::{KeepPlace, Limited, LimitedListener};
use super::state::ServerState;
use crate::openapi::Document;
use crate::{App, Runtime, db};

/// The public and the internal server.
pub(crate) struct Servers {
    pub(crate) public_address: SocketAddr,
    pub(crate) internal_address: SocketAddr,
    handles: [Handle<Limited>; 2],
    tasks: Mutex<JoinSet<io::Result<()>>>,
}

impl Servers {
    /// Serves the routes of the service, health and metrics.
    pub(crate) fn start(
        runtime: &Runtime,
        app: &App,
        public: TcpListener,
        internal: TcpListener,
        state: Arc<ServerState>,
        metrics: PrometheusHandle,
    ) -> anyhow::Result<Self> {
        let settings = &runtime.settings;
        let options = db::connect_options(settings.database_url.expose(), runtime.service.name)?;
        let readiness = Readiness::new(runtime.lifecycle.clone(), options);
        let documented = app.document.as_ref().map(Document::router).unwrap_or_default();
        let public_routes = app.public.clone().merge(health_router(readiness.clone())).merge(documented);
        let internal_routes = app
            .internal
            .clone()
            .merge(health_router(readiness))
            .merge(metrics_router(metrics, runtime.pool.clone()));

        let public_address = public.local_addr()?;
        let internal_address = internal.local_addr()?;
        let header_timeout = Duration::from_millis(settings.header_timeout_ms);
        let public = LimitedListener::new(public, "public", settings.max_connections as usize);
        let internal = LimitedListener::unlimited(internal, "internal");
        let handles = [Handle::new(), Handle::new()];
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(
            public,
            handles[0].clone(),
            layered(public_routes, Arc::clone(&state)),
            header_timeout,
        ));
        tasks.spawn(serve(internal, handles[1].clone(), layered(internal_routes, state), header_timeout));
        Ok(Self { public_address, internal_address, handles, tasks: Mutex::new(tasks) })
    }

    /// Resolves when a server has ended although nobody told it to.
    pub(crate) async fn failure(&self) -> anyhow::Error {
        match self.tasks.lock().await.join_next().await {
            Some(Ok(Err(error))) => anyhow::Error::new(error).context("an HTTP server failed"),
            Some(Err(error)) => anyhow::Error::new(error).context("an HTTP server failed"),
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("an HTTP server has ended"),
        }
    }

    /// Stops accepting, finishes the requests in flight and closes the connections. A client that has sent half a
    /// request's head, or nothing yet, can make this last as long as the header timeout.
    pub(crate) async fn stop(&self) {
        for handle in &self.handles {
            handle.graceful_shutdown(None);
        }
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }

    /// Closes the connections that are still open, whatever happens on them.
    pub(crate) fn cut(&self) {
        for handle in &self.handles {
            handle.shutdown();
        }
    }

    /// How many connections are open.
    pub(crate) fn connection_count(&self) -> usize {
        self.handles.iter().map(Handle::connection_count).sum()
    }
}

/// HTTP/1.1 only: the header timeout, which stops slow clients from holding connections, does not exist for HTTP/2.
async fn serve(
    listener: LimitedListener,
    handle: Handle<Limited>,
    router: Router,
    header_timeout: Duration,
) -> io::Result<()> {
    let mut server =
        Server::<Limited>::from_listener(listener).acceptor(KeepPlace).handle(handle).http1_only();
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(header_timeout);
    server.serve(router.into_make_service()).await
}
