//! The whole system on one machine: Postgres, a broker and the four services.

use std::{path::PathBuf, time::Instant};

use anyhow::Context;

use crate::{
    database::Database,
    in_process_broker::InProcessBroker,
    kafka::{self, Kafka, KafkaOptions},
    postgres::{Postgres, PostgresOptions},
    report::{say, seconds},
    service::ServiceProcess,
    services::{Ports, Services, ServicesOptions},
};

/// The topic prefix of production.
pub const TOPIC_PREFIX: &str = "mileage";

/// Where Postgres comes from.
#[derive(Debug, Clone)]
pub enum PostgresSource {
    /// A server of our own.
    Own(PostgresOptions),
    /// A running server.
    Given {
        /// Its superuser's URL. The path names the database; `mileage` if there is none.
        url: String,
        /// The password of the service roles.
        role_password: String,
    },
}

/// Where the broker comes from.
#[derive(Debug, Clone)]
pub enum BrokerSource {
    /// Apache Kafka of our own.
    Kafka(KafkaOptions),
    /// A running Kafka, by its bootstrap servers.
    Given(String),
    /// librdkafka's mock cluster in this process.
    InProcess,
}

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// The database server.
    pub postgres: PostgresSource,
    /// The broker.
    pub broker: BrokerSource,
    /// The services' ports; `None`: free ones.
    pub ports: Option<[Ports; 4]>,
    /// Further settings of the services: service, name, value.
    pub env: Vec<(String, String, String)>,
    /// Where the logs go; `None`: throw-away folders.
    pub log_dir: Option<PathBuf>,
}

impl Default for StackOptions {
    /// Everything of our own, throw-away and on free ports: for tests.
    fn default() -> Self {
        Self {
            postgres: PostgresSource::Own(PostgresOptions::default()),
            broker: BrokerSource::Kafka(KafkaOptions::default()),
            ports: None,
            env: Vec::new(),
            log_dir: None,
        }
    }
}

/// A running broker.
#[derive(Debug)]
pub enum Broker {
    /// Apache Kafka of our own.
    Kafka(Kafka),
    /// Somebody else's.
    Given(String),
    /// In this process.
    InProcess(InProcessBroker),
}

impl Broker {
    /// The bootstrap servers.
    pub fn brokers(&self) -> String {
        match self {
            Self::Kafka(kafka) => kafka.brokers(),
            Self::Given(brokers) => brokers.clone(),
            Self::InProcess(broker) => broker.brokers().to_owned(),
        }
    }
}

/// A running system. When it is dropped, the services go first.
#[derive(Debug)]
pub struct Stack {
    /// The four services.
    pub services: Services,
    /// The broker.
    pub broker: Broker,
    /// The database server, if it is our own.
    pub postgres: Option<Postgres>,
    /// The services' database.
    pub database: Database,
}

impl Stack {
    /// Starts Postgres and the broker side by side, then the services, and waits until all are ready
    /// and events flow.
    pub async fn start(options: StackOptions) -> anyhow::Result<Self> {
        let ((postgres, database), broker) =
            tokio::try_join!(start_postgres(options.postgres), start_broker(options.broker))?;
        let services = Services::start(ServicesOptions {
            database: database.clone(),
            brokers: broker.brokers(),
            topic_prefix: TOPIC_PREFIX.to_owned(),
            env: options.env,
            ports: options.ports,
            log_dir: options.log_dir,
        })
        .await?;
        services.wait_until_consuming().await?;
        Ok(Self { services, broker, postgres, database })
    }

    /// One of the services by its name.
    pub fn service(&self, name: &str) -> &ServiceProcess {
        self.services.get(name)
    }

    /// Our own Kafka, if there is one.
    pub fn kafka(&self) -> Option<&Kafka> {
        match &self.broker {
            Broker::Kafka(kafka) => Some(kafka),
            Broker::Given(_) | Broker::InProcess(_) => None,
        }
    }

    /// Stops everything in order: services, Kafka, Postgres.
    pub async fn stop(&self) {
        self.services.stop().await;
        if let Broker::Kafka(kafka) = &self.broker {
            kafka.stop().await;
        }
        if let Some(postgres) = &self.postgres {
            postgres.stop().await;
        }
    }
}

async fn start_postgres(source: PostgresSource) -> anyhow::Result<(Option<Postgres>, Database)> {
    let start = Instant::now();
    match source {
        PostgresSource::Own(options) => {
            let postgres = Postgres::start(options).await?;
            let database = postgres.create_database(TOPIC_PREFIX).await?;
            say(format!(
                "postgres ready on {}:{} ({})",
                postgres.host(),
                postgres.port(),
                seconds(start.elapsed())
            ));
            Ok((Some(postgres), database))
        }
        PostgresSource::Given { url, role_password } => {
            let name = database_name(&url)?;
            let database = Database::create_with_password(&url, &name, &role_password)
                .await
                .context("cannot use the Postgres of POSTGRES_URL")?;
            say(format!(
                "postgres given by POSTGRES_URL ready: database {name} ({})",
                seconds(start.elapsed())
            ));
            Ok((None, database))
        }
    }
}

/// The path of the URL; a server's own database `postgres` is only where to connect first.
fn database_name(url: &str) -> anyhow::Result<String> {
    let url = reqwest::Url::parse(url).context("POSTGRES_URL is not a URL")?;
    match url.path().trim_matches('/') {
        "" | "postgres" => Ok("mileage".to_owned()),
        name => Ok(name.to_owned()),
    }
}

async fn start_broker(source: BrokerSource) -> anyhow::Result<Broker> {
    let start = Instant::now();
    let broker = match source {
        BrokerSource::Kafka(options) => Broker::Kafka(Kafka::start(options).await?),
        BrokerSource::Given(brokers) => {
            kafka::wait_until_ready(&brokers).await.context("cannot use the broker of KAFKA_BROKERS")?;
            Broker::Given(brokers)
        }
        BrokerSource::InProcess => Broker::InProcess(InProcessBroker::start(TOPIC_PREFIX)?),
    };
    let what = match &broker {
        Broker::Kafka(_) => "kafka",
        Broker::Given(_) => "kafka given by KAFKA_BROKERS",
        Broker::InProcess(_) => "in-process broker",
    };
    say(format!("{what} ready on {} ({})", broker.brokers(), seconds(start.elapsed())));
    Ok(broker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_named_by_the_url() {
        assert_eq!(database_name("postgres://u@h:5432").unwrap(), "mileage");
        assert_eq!(database_name("postgres://u@h:5432/postgres").unwrap(), "mileage");
        assert_eq!(database_name("postgres://u@h/points?sslmode=require").unwrap(), "points");
    }
}
