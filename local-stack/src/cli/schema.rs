//! `schema -- <command>`: runs a command on a throw-away database that has all migrations.

use std::process::ExitCode;

use anyhow::Context;
use local_stack::{
    postgres::{Postgres, PostgresOptions},
    schema,
};

pub(super) async fn run(command: &[String]) -> anyhow::Result<ExitCode> {
    let postgres = Postgres::start(PostgresOptions::default()).await?;
    let database = postgres.create_database("mileage").await?;
    schema::migrate(&database).await?;

    let (program, arguments) = command.split_first().context("no command given")?;
    let status = tokio::process::Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", database.all_schemas_url())
        .status()
        .await
        .with_context(|| format!("cannot run {program}"))?;
    postgres.stop().await;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
