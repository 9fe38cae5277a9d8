//! The baseline: what Postgres alone does with the same statements, by pgbench, on a copy of the same books.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use local_stack::database::Database;
use local_stack::postgres::Postgres;
use local_stack::project;
use local_stack::scratch::ScratchDir;
use local_stack::stack::Stack;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::scripts::{ANSWER, PAYLOAD, Script};
use crate::statements::Statements;

/// The lot of this many points never ends.
const HOARD: i64 = 1_000_000_000_000;
/// Whose account has it.
pub const HOARDER: i64 = 2;

/// How the services connect: plans are kept, as `chassis::db` has it.
const AS_THE_SERVICES: &str =
    "-c synchronous_commit=on -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off";

/// Runs the statements of single requests.
pub struct Baseline {
    pgbench: PathBuf,
    url: String,
    members: u32,
    statements: Statements,
    scratch: ScratchDir,
}

impl Baseline {
    /// Copies the database of a stack whose services do not run.
    pub async fn copy(stack: &Stack, members: u32) -> anyhow::Result<Self> {
        let postgres = own(stack)?;
        let copy = Database::copy(&stack.database, &postgres.admin_url(), "baseline").await?;
        let url = copy.admin_url();
        let hoard = format!(
            "UPDATE point.account SET balance = {HOARD} WHERE member_id = {HOARDER};
             UPDATE point.lot SET amount = {HOARD}, remaining = {HOARD} WHERE lot_id = {HOARDER};
             VACUUM ANALYZE; CHECKPOINT"
        );
        let mut connection = PgConnection::connect(&url).await?;
        for statement in hoard.split(';') {
            sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
        }
        connection.close().await?;
        let statements = Statements::read(&project::root())?;
        let scratch = ScratchDir::new("pgbench")?;
        Ok(Self { pgbench: postgres.program("pgbench"), url, members, statements, scratch })
    }

    /// How many a second of what this script has are done, by so many clients.
    pub async fn rate(&self, script: Script, clients: u32, duration: Duration) -> anyhow::Result<f64> {
        let file = self.scratch.path().join("script");
        std::fs::write(&file, (script.text)(&self.statements, self.members)?)?;
        let (clients, seconds) = (clients.to_string(), duration.as_secs().to_string());
        let output = tokio::process::Command::new(&self.pgbench)
            .args(["--no-vacuum", "--protocol=prepared", "--client", &clients, "--time", &seconds])
            .args(["--define", &format!("payload={PAYLOAD}")])
            .args(["--define", &format!("answer={ANSWER}")])
            .arg("--file")
            .arg(&file)
            .arg(&self.url)
            .env("PGOPTIONS", format!("-c search_path={} {AS_THE_SERVICES}", script.schema))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("pgbench cannot be run")?;
        let (text, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "pgbench: {}\n{errors}", output.status);
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")).context("no rate of pgbench")?;
        rate.split(' ').next().and_then(|rate| rate.parse().ok()).context("not a rate")
    }
}

fn own(stack: &Stack) -> anyhow::Result<&Postgres> {
    stack.postgres.as_ref().context("Postgres is not our own")
}
