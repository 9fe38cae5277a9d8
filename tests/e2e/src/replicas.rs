//! Two replicas of each service behind a reverse proxy that asks them whether they are ready.

use std::time::Duration;

use local_stack::database::SERVICES;
use local_stack::process::Signal;
use local_stack::service::ServiceProcess;
use local_stack::services::Ports;

use crate::reverse_proxy::ReverseProxy;
use crate::world::{World, WorldOptions};

/// More than it takes the proxy to notice, on a busy machine.
const DRAIN_MS: u64 = 3_000;
/// What `SHUTDOWN_GRACE_MS` allows by default, besides the drain.
const GRACE: Duration = Duration::from_secs(20);

/// The services, their second replicas once there are some, and the proxy in front of them.
#[derive(Debug)]
pub struct Replicas {
    /// The first replicas, and what all of them share.
    pub world: World,
    /// The proxy.
    pub proxy: ReverseProxy,
    seconds: Vec<ServiceProcess>,
    second_ports: [Ports; 4],
}

impl Replicas {
    /// Starts one replica of each service and the proxy, with further settings: service, name, value.
    pub async fn start(env: &[(&'static str, &'static str, &str)]) -> Self {
        let mut proxy = ReverseProxy::reserve().expect("ports for the proxy");
        let ports = Ports::free().expect("free ports");
        let second_ports = Ports::free().expect("free ports");
        proxy.start([ports, second_ports]).expect("the proxy starts");

        let mut all: Vec<_> =
            SERVICES.map(|service| (service, "DRAIN_MS", DRAIN_MS.to_string())).into_iter().collect();
        all.push(("member", "POINT_INTERNAL_URL", proxy.point_internal_url()));
        all.extend(env.iter().map(|(service, name, value)| (*service, *name, (*value).to_owned())));
        let options = WorldOptions { ports: Some(ports), env: all, ..WorldOptions::default() };
        let world = World::start_with(options).await;
        let replicas = Self { world, proxy, seconds: Vec::new(), second_ports };
        for service in SERVICES {
            replicas.proxy.until(&server(service, 1), true).await;
        }
        replicas
    }

    /// Adds the second replica of each service, and waits until it gets requests.
    pub async fn scale_out(&mut self) {
        for (service, ports) in SERVICES.into_iter().zip(self.second_ports) {
            self.seconds.push(self.world.start_replica_on(service, ports).await);
            self.proxy.until(&server(service, 2), true).await;
        }
    }

    /// All processes, with the names that the proxy has for them.
    pub fn all(&self) -> impl Iterator<Item = (String, &ServiceProcess)> {
        let firsts = self.world.services.all().iter().map(|first| (server(first.name(), 1), &**first));
        let seconds = self.seconds.iter().map(|second| (server(second.name(), 2), second));
        firsts.chain(seconds)
    }

    /// Replaces a replica as a rolling update does: it is told to stop, and its successor gets requests once it is ready.
    ///
    /// # Panics
    /// When it does not stop in time, or not properly.
    pub async fn replace(&self, server: &str, process: &ServiceProcess) {
        process.signal(Signal::SIGTERM);
        self.proxy.until(server, false).await;
        let exit = tokio::time::timeout(Duration::from_millis(DRAIN_MS) + GRACE, process.exited()).await;
        assert!(matches!(exit, Ok(exit) if exit.success()), "{server}: {exit:?}\n{}", process.log());
        process.restart().await.expect("its successor starts");
        self.proxy.until(server, true).await;
    }

    /// Stops everything.
    ///
    /// # Panics
    /// When a replica does not stop properly.
    pub async fn stop(self) {
        for second in &self.seconds {
            let exit = second.terminate(Duration::from_millis(DRAIN_MS) + GRACE).await;
            assert!(exit.is_some_and(|exit| exit.success()), "{exit:?}\n{}", second.log());
        }
        self.world.stop().await;
    }
}

fn server(service: &str, replica: u8) -> String {
    format!("{service}-{replica}")
}
