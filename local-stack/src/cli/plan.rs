//! What `up` is going to start, from its arguments and what the machine has.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use local_stack::{
    database::{SERVICES, check_role_password},
    kafka::{KafkaOptions, distribution},
    port::free_port,
    postgres::{PostgresOptions, account},
    report::say,
    services::Ports,
    stack::{BrokerSource, PostgresSource, StackOptions},
};

use super::{
    BrokerKind, UpArguments,
    running::{Folder, Part},
};

/// The ports of everything on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct PortPlan {
    postgres: u16,
    kafka: u16,
    /// In the order of [`SERVICES`].
    pub(super) services: [Ports; 4],
}

impl PortPlan {
    pub(super) fn new(arguments: &UpArguments) -> anyhow::Result<Self> {
        if arguments.free_ports {
            return Ok(Self { postgres: free_port()?, kafka: free_port()?, services: Ports::free()? });
        }
        Ok(Self { postgres: arguments.postgres_port, kafka: arguments.kafka_port, services: Ports::FIXED })
    }
}

/// The listeners that `up` opens.
pub(super) fn parts(arguments: &UpArguments, ports: &PortPlan) -> Vec<Part> {
    let server = |name: &str, port| Part { name: name.to_owned(), port, ready_url: None };
    let mut parts = Vec::new();
    if arguments.postgres_url.is_none() {
        parts.push(server("postgres", ports.postgres));
    }
    if arguments.kafka_brokers.is_none() && arguments.broker != Some(BrokerKind::InProcess) {
        parts.push(server("kafka", ports.kafka));
    }
    for (name, ports) in SERVICES.iter().zip(ports.services) {
        let ready_url = Some(format!("http://127.0.0.1:{}/readyz", ports.internal));
        parts.push(Part { name: (*name).to_owned(), port: ports.public, ready_url: ready_url.clone() });
        parts.push(Part { name: format!("{name} (internal)"), port: ports.internal, ready_url });
    }
    parts
}

/// Decides where Postgres and the broker come from; fetches Kafka if need be.
pub(super) async fn options(
    arguments: &UpArguments,
    ports: &PortPlan,
    folder: &Folder,
) -> anyhow::Result<StackOptions> {
    if let Some(url) = &arguments.postgres_url {
        check_role_password(url, &arguments.role_password)?;
    }
    let broker = broker(arguments, ports, folder).await?;
    let in_process = matches!(broker, BrokerSource::InProcess);
    let postgres = match &arguments.postgres_url {
        Some(_) if in_process => anyhow::bail!(
            "the in-process broker forgets everything at a stop, so it cannot be used with the database of POSTGRES_URL"
        ),
        Some(url) => {
            PostgresSource::Given { url: url.clone(), role_password: arguments.role_password.clone() }
        }
        None => PostgresSource::Own(PostgresOptions {
            data_dir: if in_process { None } else { Some(postgres_dir(folder)?) },
            port: Some(ports.postgres),
            durable: !in_process,
            log: Some(folder.logs().join("postgres.log")),
            settings: Vec::new(),
        }),
    };
    Ok(StackOptions {
        postgres,
        broker,
        ports: Some(ports.services),
        env: gateway_of_the_shell(),
        log_dir: Some(folder.logs()),
    })
}

/// No test sends real messages because of the shell it is run in; who starts the stack may choose a real gateway there.
fn gateway_of_the_shell() -> Vec<(String, String, String)> {
    let chosen = std::env::var("SMS_GATEWAY").ok();
    chosen.map(|gateway| ("message".to_owned(), "SMS_GATEWAY".to_owned(), gateway)).into_iter().collect()
}

async fn broker(arguments: &UpArguments, ports: &PortPlan, folder: &Folder) -> anyhow::Result<BrokerSource> {
    if arguments.broker == Some(BrokerKind::InProcess) {
        notice("as you asked");
        return Ok(BrokerSource::InProcess);
    }
    if let Some(brokers) = &arguments.kafka_brokers {
        return Ok(BrokerSource::Given(brokers.clone()));
    }
    match distribution::prepare().await {
        Ok(_) => Ok(BrokerSource::Kafka(KafkaOptions {
            data_dir: Some(folder.path().join("kafka")),
            port: Some(ports.kafka),
            log: Some(folder.logs().join("kafka.log")),
            ..KafkaOptions::default()
        })),
        Err(error) if arguments.broker.is_none() => {
            notice(&format!("{error:#}"));
            Ok(BrokerSource::InProcess)
        }
        Err(error) => Err(error),
    }
}

fn notice(reason: &str) {
    say(format!("NOTICE: no Apache Kafka ({reason})."));
    say("NOTICE: an in-process broker and a throw-away database stand in: NOTHING SURVIVES a stop.");
}

/// In the folder, unless Postgres must run as another user who cannot get there (a clone below /root, say).
fn postgres_dir(folder: &Folder) -> anyhow::Result<PathBuf> {
    let dir = folder.path().join("postgres");
    match account::unprivileged()? {
        Some(account) if !account.can_reach(folder.path()) => {
            let elsewhere = Path::new("/var/lib/mileage").join(format!("{:016x}", fnv1a(folder.path())));
            for dir in [Path::new("/var/lib/mileage"), &elsewhere] {
                fs::create_dir_all(dir)
                    .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o755)))
                    .with_context(|| format!("cannot create {}", dir.display()))?;
            }
            say(format!(
                "postgres: its user cannot reach {}, so its data is in {}",
                folder.path().display(),
                elsewhere.display()
            ));
            Ok(elsewhere.join("postgres"))
        }
        _ => Ok(dir),
    }
}

/// FNV-1a: stays the same over versions of Rust, unlike the standard library's hash.
fn fnv1a(path: &Path) -> u64 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
