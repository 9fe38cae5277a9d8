//! The command line for parked events.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand, value_parser};
use sqlx::PgPool;

use super::redrive::{Redriven, redrive};
use super::store::{self, Filter, Queue};
use super::table;
use crate::delivery::received::EventHandler;
use crate::identity::MemberId;
use crate::topic::Topic;

/// What a service that reacts to events can do besides serving.
#[derive(Clone, Debug, Subcommand)]
pub enum DeliveryCommand {
    /// Works on parked events: those that could not be handled, and those of the same topic and key behind them
    #[command(subcommand)]
    Parked(ParkedCommand),
}

/// What can be done with parked events.
#[derive(Clone, Debug, Subcommand)]
pub enum ParkedCommand {
    /// Lists them, the oldest first
    List(ListArgs),
    /// Shows one with its headers and its payload
    Show {
        /// Its id in the list
        id: i64,
        /// Show phone numbers and nicknames, and a payload that cannot be read
        #[arg(long)]
        personal_data: bool,
    },
    /// Handles them after all, in order: with each the others of its topic and key
    Redrive(RedriveArgs),
    /// Forgets some for good; those behind them stay parked until they are redriven
    Drop {
        /// Ids in the list
        #[arg(required = true)]
        ids: Vec<i64>,
    },
}

/// Which are listed, and how.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Only those of a topic: member, message or point
    #[arg(long, value_parser = Topic::ALL.map(Topic::suffix))]
    topic: Option<String>,
    /// Only those of a member
    #[arg(long)]
    member_id: Option<MemberId>,
    /// Only those behind this id: the last of the page before
    #[arg(long, default_value_t = 0)]
    after: i64,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = value_parser!(i64).range(1..=10_000))]
    limit: i64,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Which are redriven.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct RedriveArgs {
    /// Ids in the list
    ids: Vec<i64>,
    /// Those of a member
    #[arg(long)]
    member_id: Option<MemberId>,
    /// All of them
    #[arg(long)]
    all: bool,
}

impl DeliveryCommand {
    /// Carries it out and writes the result to standard output. `handler` are the service's policies.
    ///
    /// Exit codes: 0 when all that was asked for is done, 1 when there is no such event or one still cannot be handled.
    ///
    /// # Errors
    /// When the database or the output fails.
    pub async fn run(self, pool: &PgPool, handler: impl EventHandler) -> anyhow::Result<ExitCode> {
        let Self::Parked(command) = self;
        let is_done = match command {
            ParkedCommand::List(arguments) => list(pool, arguments).await?,
            ParkedCommand::Show { id, personal_data } => show(pool, id, personal_data).await?,
            ParkedCommand::Redrive(arguments) => redrive_all(pool, &handler, arguments).await?,
            ParkedCommand::Drop { ids } => drop_all(pool, &ids).await?,
        };
        Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

async fn list(pool: &PgPool, arguments: ListArgs) -> anyhow::Result<bool> {
    let ListArgs { topic, member_id, after, limit, json } = arguments;
    let filter = Filter { topic, key: member_id.map(|id| id.to_string()), after, limit };
    let parked = store::list(pool, &filter).await?;
    say(if json { table::json_lines(&parked) } else { table::rows(&parked, limit) })?;
    Ok(true)
}

async fn show(pool: &PgPool, id: i64, personal_data: bool) -> anyhow::Result<bool> {
    let Some(parked) = store::find(pool, id).await? else { return unknown(id) };
    say(table::in_full(&parked, personal_data))?;
    Ok(true)
}

async fn redrive_all(
    pool: &PgPool,
    handler: &impl EventHandler,
    arguments: RedriveArgs,
) -> anyhow::Result<bool> {
    let mut are_all_done = true;
    let mut queues = Vec::new();
    for id in arguments.ids {
        match store::find(pool, id).await? {
            Some(parked) => queues.push(Queue::from(&parked)),
            None => are_all_done = unknown(id)?,
        }
    }
    if let Some(member_id) = arguments.member_id {
        let key = member_id.to_string();
        queues.extend(Topic::ALL.map(|topic| Queue::Keyed(topic.suffix().to_owned(), key.clone())));
    }
    if arguments.all {
        queues = store::queues(pool).await?;
    }
    queues.dedup();
    let mut total = 0;
    for queue in queues {
        let Redriven { handled, refused } =
            redrive(pool, handler, &queue).await.context("the redrive stopped; it can be repeated")?;
        total += handled;
        if let Some((id, reason)) = refused {
            are_all_done = false;
            say(format!(
                "event {id} still cannot be handled and stays parked with those behind it: {reason}\n"
            ))?;
        }
    }
    say(format!("redrove {total} event(s)\n"))?;
    Ok(are_all_done)
}

async fn drop_all(pool: &PgPool, ids: &[i64]) -> anyhow::Result<bool> {
    let mut are_all_done = true;
    for id in ids {
        if store::remove(pool, *id).await? {
            tracing::warn!(id, "dropped a parked event");
            say(format!("dropped event {id}\n"))?;
        } else {
            are_all_done = unknown(*id)?;
        }
    }
    Ok(are_all_done)
}

fn unknown(id: i64) -> anyhow::Result<bool> {
    say(format!("there is no parked event {id}\n"))?;
    Ok(false)
}

fn say(text: String) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())
}
