//! The four services together, on one database and one broker.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    database::{Database, Role, SERVICES},
    port::free_port,
    report::{say, seconds},
    scratch::ScratchDir,
    service::{ServiceOptions, ServiceProcess, read_log},
};

const STOP_DEADLINE: Duration = Duration::from_secs(35);

/// The ports of one service on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// For clients.
    pub public: u16,
    /// For metrics, health and other services.
    pub internal: u16,
}

impl Ports {
    /// 8081…8084 and 9081…9084, in the order of [`SERVICES`].
    pub const FIXED: [Self; 4] = [
        Self { public: 8081, internal: 9081 },
        Self { public: 8082, internal: 9082 },
        Self { public: 8083, internal: 9083 },
        Self { public: 8084, internal: 9084 },
    ];

    /// Free ports for four services.
    pub fn free() -> anyhow::Result<[Self; 4]> {
        Ok([Self::one()?, Self::one()?, Self::one()?, Self::one()?])
    }

    /// Free ports for one service.
    pub fn one() -> anyhow::Result<Self> {
        Ok(Self { public: free_port()?, internal: free_port()? })
    }
}

/// What a set of services runs on.
#[derive(Debug, Clone)]
pub struct ServicesOptions {
    /// Their database; a set has its own.
    pub database: Database,
    /// Kafka's bootstrap servers; may be shared.
    pub brokers: String,
    /// Keeps the topics of sets that share a broker apart; `mileage` in production.
    pub topic_prefix: String,
    /// Further settings: service, name, value. They win over ours.
    pub env: Vec<(String, String, String)>,
    /// Their ports; `None`: free ones.
    pub ports: Option<[Ports; 4]>,
    /// Where `<service>.log` goes; `None`: a throw-away folder.
    pub log_dir: Option<PathBuf>,
}

impl ServicesOptions {
    /// Free ports, a throw-away log folder and no further settings.
    pub fn new(database: Database, brokers: impl Into<String>, topic_prefix: impl Into<String>) -> Self {
        Self {
            database,
            brokers: brokers.into(),
            topic_prefix: topic_prefix.into(),
            env: Vec::new(),
            ports: None,
            log_dir: None,
        }
    }

    fn service(&self, name: &str, ports: Ports, point_internal: u16, log: PathBuf) -> ServiceOptions {
        let mut env = vec![
            ("DATABASE_URL".to_owned(), self.database.url(name, Role::App)),
            ("MIGRATION_DATABASE_URL".to_owned(), self.database.url(name, Role::Owner)),
            ("KAFKA_BROKERS".to_owned(), self.brokers.clone()),
            ("TOPIC_PREFIX".to_owned(), self.topic_prefix.clone()),
        ];
        if name == "member" {
            env.push(("POINT_INTERNAL_URL".to_owned(), format!("http://127.0.0.1:{point_internal}")));
        }
        let own = self.env.iter().filter(|(service, ..)| service == name);
        env.extend(own.map(|(_, key, value)| (key.clone(), value.clone())));
        ServiceOptions {
            name: name.to_owned(),
            port: ports.public,
            internal_port: ports.internal,
            env,
            args: Vec::new(),
            log,
        }
    }
}

/// Four running services; they are killed when this is dropped.
#[derive(Debug)]
pub struct Services {
    services: Vec<Arc<ServiceProcess>>,
    options: ServicesOptions,
    point_internal: u16,
    log_dir: PathBuf,
    replicas: AtomicU32,
    _scratch: Option<ScratchDir>,
}

impl Services {
    /// Starts all four at once and waits until each is ready.
    pub async fn start(options: ServicesOptions) -> anyhow::Result<Self> {
        let (log_dir, scratch) = log_dir_or_scratch(options.log_dir.clone())?;
        let ports = options.ports.map_or_else(Ports::free, Ok)?;
        let [_, _, Ports { internal: point_internal, .. }, _] = ports;
        let services = SERVICES
            .iter()
            .zip(ports)
            .map(|(name, own)| {
                options.service(name, own, point_internal, log_dir.join(format!("{name}.log")))
            })
            .map(|service| Ok(Arc::new(ServiceProcess::spawn(service)?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let replicas = AtomicU32::new(1);
        let services = Self { services, options, point_internal, log_dir, replicas, _scratch: scratch };
        services.wait_ready().await?;
        Ok(services)
    }

    /// Starts one more process of a service; its log is `<service>-<number>.log` beside the others.
    pub fn spawn_replica(&self, name: &str, ports: Ports) -> anyhow::Result<ServiceProcess> {
        let number = self.replicas.fetch_add(1, Ordering::Relaxed) + 1;
        let log = self.log_dir.join(format!("{name}-{number}.log"));
        ServiceProcess::spawn(self.options.service(name, ports, self.point_internal, log))
    }

    /// Waits until every service is ready.
    pub async fn wait_ready(&self) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut waiting = JoinSet::new();
        for service in self.services.iter().map(Arc::clone) {
            waiting.spawn(async move { service.wait_ready().await.map(|()| service) });
        }
        while let Some(ready) = waiting.join_next().await {
            let service = ready??;
            say(format!("{} ready on {} ({})", service.name(), service.url(), seconds(start.elapsed())));
        }
        Ok(())
    }

    /// Waits until every service has partitions to read: from then on events flow without a pause.
    pub async fn wait_until_consuming(&self) -> anyhow::Result<()> {
        for service in &self.services {
            service.wait_until_consuming().await?;
        }
        Ok(())
    }

    /// All four, in the order of [`SERVICES`].
    pub fn all(&self) -> &[Arc<ServiceProcess>] {
        &self.services
    }

    /// One of them by its name.
    ///
    /// # Panics
    /// When there is no service of that name: a typing error of the caller.
    #[expect(clippy::panic, reason = "a typing error in a test is best shown where it is")]
    pub fn get(&self, name: &str) -> &ServiceProcess {
        match self.services.iter().find(|service| service.name() == name) {
            Some(service) => service,
            None => panic!("no service is called {name}"),
        }
    }

    /// The logs of all processes of this set, those of replicas too: name of the file and what is in it.
    pub fn logs(&self) -> Vec<(String, String)> {
        let files = fs::read_dir(&self.log_dir).into_iter().flatten().flatten();
        let read =
            |file: fs::DirEntry| (file.file_name().to_string_lossy().into_owned(), read_log(&file.path()));
        files.map(read).collect()
    }

    /// SIGTERM to all at once; returns once they are gone.
    pub async fn stop(&self) {
        let mut stopping = JoinSet::new();
        for service in self.services.iter().map(Arc::clone) {
            stopping.spawn(async move { service.terminate(STOP_DEADLINE).await });
        }
        stopping.join_all().await;
    }
}

fn log_dir_or_scratch(log_dir: Option<PathBuf>) -> anyhow::Result<(PathBuf, Option<ScratchDir>)> {
    match log_dir {
        Some(dir) => Ok((dir, None)),
        None => {
            let scratch = ScratchDir::new("services")?;
            Ok((scratch.path().to_owned(), Some(scratch)))
        }
    }
}
