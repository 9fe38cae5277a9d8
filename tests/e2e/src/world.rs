//! One set of services with its own database and topics.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use local_stack::database::{Database, Role, SERVICES};
use local_stack::postgres::Postgres;
use local_stack::service::{ServiceProcess, find_binary};
use local_stack::services::{Ports, Services, ServicesOptions};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::books;
use crate::breakpoints::Breakpoints;
use crate::client::Client;
use crate::database;
use crate::evidence;
use crate::infrastructure::{kafka, postgres};
use crate::load::Sent;
use crate::topics::Topics;
use crate::wait::{eventually, try_eventually};

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// Which topics each service reads.
const SUBSCRIPTIONS: [(&str, &[&str]); 4] = [
    ("member", &["message", "point"]),
    ("message", &["member", "point"]),
    ("point", &["member"]),
    ("mypage", &["member", "point"]),
];

/// What differs from the defaults.
#[derive(Clone, Debug, Default)]
pub struct WorldOptions {
    /// A Postgres of the test's own; otherwise the shared one.
    pub postgres: Option<Arc<Postgres>>,
    /// A broker of the test's own, by its bootstrap servers; otherwise the shared one.
    pub brokers: Option<String>,
    /// The services' ports, for a test that puts something in front of one; otherwise free ones.
    pub ports: Option<[Ports; 4]>,
    /// Further settings: service, name, value.
    pub env: Vec<(&'static str, &'static str, String)>,
}

/// Settings that let a killed consumer's partitions go to another within two seconds.
#[must_use]
pub fn noticed_soon() -> Vec<(&'static str, &'static str, String)> {
    let soon = "session.timeout.ms=1500,heartbeat.interval.ms=300";
    SERVICES.map(|service| (service, "KAFKA_PROPERTIES", soon.to_owned())).into()
}

/// Four services, their database, their topics, and a client of them.
#[derive(Debug)]
pub struct World {
    /// The service processes.
    pub services: Services,
    /// Their database, as the superuser.
    pub pool: PgPool,
    /// Their topics.
    pub topics: Topics,
    /// Calls them.
    pub client: Client,
    prefix: String,
    options: ServicesOptions,
}

impl World {
    /// Starts a set of services and waits until they are ready.
    pub async fn start() -> Self {
        Self::start_with(WorldOptions::default()).await
    }

    /// Starts a set of services with other settings.
    pub async fn start_with(options: WorldOptions) -> Self {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("world{number}");
        let server = match &options.postgres {
            Some(own) => own,
            None => postgres().await,
        };
        let database = server.create_database(&prefix).await.expect("a database");
        let brokers = match options.brokers {
            Some(brokers) => brokers,
            None => kafka().await.brokers(),
        };
        let mut services = ServicesOptions::new(database.clone(), &brokers, &prefix);
        services.ports = options.ports;
        let env = options.env.into_iter();
        services.env.extend(env.map(|(service, name, value)| (service.to_owned(), name.to_owned(), value)));
        Self::start_on(services, &database, brokers, prefix).await
    }

    async fn start_on(
        options: ServicesOptions,
        database: &Database,
        brokers: String,
        prefix: String,
    ) -> Self {
        let services = Services::start(options.clone()).await.expect("the services start");
        let base = SERVICES.map(|name| services.get(name).url());
        let pool =
            PgPoolOptions::new().max_connections(4).connect(&database.admin_url()).await.expect("Postgres");
        let topics = Topics::new(brokers, prefix.clone());
        Self { services, pool, topics, client: Client::of(base), prefix, options }
    }

    /// One of the services.
    #[must_use]
    pub fn service(&self, name: &str) -> &ServiceProcess {
        self.services.get(name)
    }

    /// Starts one more process of a service, on ports of its own, and waits until it is ready.
    pub async fn start_replica(&self, name: &str) -> ServiceProcess {
        self.start_replica_on(name, Ports::one().expect("free ports")).await
    }

    /// As [`World::start_replica`], on these ports.
    pub async fn start_replica_on(&self, name: &str, ports: Ports) -> ServiceProcess {
        let replica = self.services.spawn_replica(name, ports).expect("a replica starts");
        replica.wait_ready().await.expect("the replica is ready");
        replica
    }

    /// Runs a command of a service, such as `parked list`, with the settings of this set.
    pub async fn run(&self, service: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(find_binary(service).expect("the program is built"));
        let database_url = self.options.database.url(service, Role::App);
        command.args(arguments).env("DATABASE_URL", database_url).stdin(Stdio::null());
        let run = tokio::task::spawn_blocking(move || command.output()).await;
        run.expect("no panic").expect("the command runs")
    }

    /// Stops all services, if they run, and starts them again with further settings: service, name, value.
    pub async fn restart_with(&mut self, env: &[(&str, &str, &str)]) {
        self.services.stop().await;
        let further = env.iter().map(|(s, n, v)| ((*s).to_owned(), (*n).to_owned(), (*v).to_owned()));
        self.options.env.extend(further);
        self.services = Services::start(self.options.clone()).await.expect("the services start");
        let base = SERVICES.map(|name| self.services.get(name).url());
        self.client = Client::of(base);
    }

    /// What the names of its topics and consumer groups begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The consumer group of a service.
    #[must_use]
    pub fn group(&self, service: &str) -> String {
        format!("{}.{service}", self.prefix)
    }

    /// Every row of every business table, in a stable order.
    pub async fn snapshot(&self) -> Vec<String> {
        database::snapshot(&self.pool).await
    }

    /// Makes it possible to stop the services at their writes.
    pub async fn breakpoints(&self) -> Breakpoints {
        Breakpoints::set_up(&self.pool).await
    }

    /// Ends the sessions that hold an advisory lock: those of the relays.
    pub async fn cut_the_relays(&self) {
        let cut =
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                   WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()";
        sqlx::query(cut).execute(&self.pool).await.expect("the sessions end");
    }

    /// What is wrong with the books of the four services, given the commands that were sent: nothing, when all is quiet.
    pub async fn violations(&self, sent: &[Sent]) -> Vec<String> {
        let mut connection = self.pool.acquire().await.expect("a connection");
        books::violations(&mut connection, sent).await
    }

    /// Waits until all is quiet and nothing is wrong with the books.
    ///
    /// # Panics
    /// When something still is after a minute, with what it is and what became of the events of those concerned.
    pub async fn assert_books_are_right(&self, sent: &[Sent]) {
        self.quiet().await;
        let right = try_eventually(|| async {
            let wrong = self.violations(sent).await;
            if wrong.is_empty() { Ok(()) } else { Err(wrong) }
        })
        .await;
        if let Err(wrong) = &right {
            eprintln!("the books are wrong:\n{}", wrong.join("\n"));
            eprintln!("{}", evidence::events(&self.pool, &self.topics, wrong).await);
        }
        assert_eq!(right, Ok(()), "the books are right");
    }

    /// As [`World::violations`], after a statement that is rolled back again.
    pub async fn violations_after(&self, harm: &'static str, sent: &[Sent]) -> Vec<String> {
        let mut tx = self.pool.begin().await.expect("a transaction");
        sqlx::query(harm).execute(&mut *tx).await.expect("the harm is done");
        books::violations(&mut tx, sent).await
    }

    /// Waits until nothing is on its way any more: no unpublished event, no unsent message, no unread record.
    pub async fn quiet(&self) {
        let groups = SUBSCRIPTIONS.map(|(service, topics)| (self.group(service), topics));
        self.quiet_for(&groups).await;
    }

    /// As [`World::quiet`], for consumer groups of other names.
    pub async fn quiet_for(&self, groups: &[(String, &[&str])]) {
        eventually("everything is handled", || async {
            let before = self.backlog(groups).await.map_err(|error| error.to_string())?;
            let after = self.backlog(groups).await.map_err(|error| error.to_string())?;
            if before + after == 0 { Ok(()) } else { Err(format!("{after} are on their way")) }
        })
        .await;
    }

    async fn backlog(&self, groups: &[(String, &[&str])]) -> anyhow::Result<i64> {
        let mut backlog = database::pending(&self.pool).await?;
        for (group, topics) in groups {
            backlog += self.topics.lag(group, topics).await?;
        }
        Ok(backlog + database::pending(&self.pool).await?)
    }

    /// Stops everything of this set.
    pub async fn stop(self) {
        self.services.stop().await;
    }
}

impl Drop for World {
    /// Shows what the services complained of, when a test failed: their logs go with them.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (name, log) in self.services.logs() {
                eprintln!("{name} of {}:\n{}", self.prefix, evidence::complaints(&log));
            }
        }
    }
}
