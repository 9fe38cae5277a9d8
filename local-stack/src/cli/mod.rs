//! The command line.

mod detach;
mod down;
mod plan;
mod ports;
mod running;
mod schema;
mod status;
mod supervise;
mod up;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use local_stack::{database::DEFAULT_PASSWORD, scratch};

/// Runs Postgres, Apache Kafka and the four services on this machine.
#[derive(Debug, Parser)]
#[command(name = "local-stack", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts everything and keeps it running until Ctrl-C.
    Up(UpArguments),
    /// Stops what `up` started; nothing is left running.
    Down(Place),
    /// Says what is running and whether it answers.
    Status(Place),
    /// Removes the throw-away folders of processes that were killed.
    #[command(hide = true)]
    Clean,
    /// Runs a command with `DATABASE_URL` set to a throw-away database that has all migrations.
    Schema {
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The folder of data and logs [default: .data in the project].
    #[arg(long, env = "MILEAGE_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct UpArguments {
    /// Returns once everything is ready, and leaves it running.
    #[arg(short, long)]
    detach: bool,

    /// Set in the process that stays when `--detach` returns.
    #[arg(long, hide = true)]
    detached: bool,

    /// The broker [default: kafka, or in-process where Java or Maven is missing].
    #[arg(long, value_enum)]
    broker: Option<BrokerKind>,

    /// The port of Postgres on 127.0.0.1.
    #[arg(long, env = "POSTGRES_PORT", default_value_t = 15432, value_parser = clap::value_parser!(u16).range(1..))]
    postgres_port: u16,

    /// The port of Kafka on 127.0.0.1.
    #[arg(long, env = "KAFKA_PORT", default_value_t = 19092, value_parser = clap::value_parser!(u16).range(1..))]
    kafka_port: u16,

    /// Free ports instead of the fixed ones; `stack.json` in the data folder says which.
    #[arg(long, hide = true)]
    free_ports: bool,

    /// A running Postgres to use instead, by its superuser's URL; its path names the database [default: mileage].
    #[arg(long, env = "POSTGRES_URL", hide_env_values = true)]
    postgres_url: Option<String>,

    /// The password of the service roles in the Postgres of POSTGRES_URL; must be given unless that is on loopback.
    #[arg(
        long,
        env = "MILEAGE_ROLE_PASSWORD",
        hide_env_values = true,
        default_value = DEFAULT_PASSWORD,
        value_parser = NonEmptyStringValueParser::new()
    )]
    role_password: String,

    /// A running Kafka to use instead, by its bootstrap servers.
    #[arg(long, env = "KAFKA_BROKERS")]
    kafka_brokers: Option<String>,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BrokerKind {
    /// Apache Kafka; data survives.
    Kafka,
    /// librdkafka's mock cluster and a throw-away database; nothing survives.
    InProcess,
}

/// Parses the command line and does what it says.
pub(crate) async fn run() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Up(arguments) if arguments.detach && !arguments.detached => detach::run(&arguments).await,
        Command::Up(arguments) => up::run(arguments).await,
        Command::Down(place) => down::run(&place.folder()).await,
        Command::Status(place) => status::run(&place.folder()).await,
        Command::Clean => {
            scratch::remove_leftovers();
            Ok(ExitCode::SUCCESS)
        }
        Command::Schema { command } => schema::run(&command).await,
    }
}

impl Place {
    fn folder(&self) -> running::Folder {
        let project = local_stack::project::root();
        running::Folder::new(
            self.data_dir.as_ref().map_or_else(|| project.join(".data"), |dir| project.join(dir)),
        )
    }
}
