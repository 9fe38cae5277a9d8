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

/// Has each plan told, as it was carried out.
const EXPLAINING: &str = "-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0 \
                          -c auto_explain.log_analyze=on -c auto_explain.log_buffers=on -c auto_explain.log_timing=off \
                          -c auto_explain.log_level=notice -c client_min_messages=notice";
/// How often a script is run to tell its plans; the last ones are kept, when Postgres has in memory what it can have.
const WARM: usize = 20;

/// What a script takes, from sending to the answer, on average.
#[derive(Clone, Debug)]
pub struct ScriptTime {
    /// All of it, in milliseconds.
    pub milliseconds: f64,
    /// Each statement: its first line, and milliseconds.
    pub statements: Vec<(String, f64)>,
}

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
        Self::with(postgres, url, members)
    }

    /// On the database of a stack whose services do not run, and will not again.
    pub fn of(stack: &Stack, members: u32) -> anyhow::Result<Self> {
        Self::with(own(stack)?, stack.database.admin_url(), members)
    }

    fn with(postgres: &Postgres, url: String, members: u32) -> anyhow::Result<Self> {
        let statements = Statements::read(&project::root())?;
        let scratch = ScratchDir::new("pgbench")?;
        Ok(Self { pgbench: postgres.program("pgbench"), url, members, statements, scratch })
    }

    /// How many a second of what this script has are done, by so many clients.
    pub async fn rate(&self, script: Script, clients: u32, duration: Duration) -> anyhow::Result<f64> {
        let (clients, seconds) = (clients.to_string(), duration.as_secs().to_string());
        let (text, _) =
            self.run(script, AS_THE_SERVICES, &["--client", &clients, "--time", &seconds]).await?;
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")).context("no rate of pgbench")?;
        rate.split(' ').next().and_then(|rate| rate.parse().ok()).context("not a rate")
    }

    /// What this script takes one client, measured for so long.
    pub async fn time(&self, script: Script, duration: Duration) -> anyhow::Result<ScriptTime> {
        let seconds = duration.as_secs().to_string();
        let arguments = ["--report-per-command", "--time", &seconds];
        let (text, _) = self.run(script, AS_THE_SERVICES, &arguments).await?;
        let average = text.lines().find_map(|line| line.strip_prefix("latency average = "));
        let average = average.and_then(|it| it.strip_suffix(" ms")).context("no latency of pgbench")?;
        let report = text.lines().skip_while(|line| !line.starts_with("statement latencies")).skip(1);
        let statements =
            report.map(|line| statement_time(line).with_context(|| format!("pgbench says {line}")));
        let is_sql = |(beginning, _): &(String, f64)| !beginning.starts_with('\\');
        let statements =
            statements.filter(|it| it.as_ref().map_or(true, is_sql)).collect::<anyhow::Result<_>>()?;
        Ok(ScriptTime { milliseconds: average.parse()?, statements })
    }

    /// The plans of this script's statements, as Postgres carried them out.
    pub async fn plans(&self, script: Script) -> anyhow::Result<String> {
        let transactions = WARM.to_string();
        let session = format!("{AS_THE_SERVICES} {EXPLAINING}");
        let (_, notices) = self.run(script, &session, &["--transactions", &transactions]).await?;
        let plans: Vec<&str> = notices.split("NOTICE:").skip(1).collect();
        Ok(plans[plans.len() - plans.len() / WARM..].concat())
    }

    /// Runs a script; gives what pgbench prints, and what it and Postgres say beside that.
    async fn run(
        &self,
        script: Script,
        session: &str,
        arguments: &[&str],
    ) -> anyhow::Result<(String, String)> {
        let file = self.scratch.path().join("script");
        std::fs::write(&file, (script.text)(&self.statements, self.members)?)?;
        let output = tokio::process::Command::new(&self.pgbench)
            .args(["--no-vacuum", "--protocol=prepared"])
            .args(arguments)
            .args(["--define", &format!("payload={PAYLOAD}")])
            .args(["--define", &format!("answer={ANSWER}")])
            .arg("--file")
            .arg(&file)
            .arg(&self.url)
            .env("PGOPTIONS", format!("-c search_path={} {session}", script.schema))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("pgbench cannot be run")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "pgbench: {}\n{said}", output.status);
        Ok((text, said))
    }
}

/// From a line of milliseconds, failures and the statement's first line.
fn statement_time(line: &str) -> Option<(String, f64)> {
    let (milliseconds, rest) = line.trim_start().split_once(' ')?;
    let (_failures, beginning) = rest.trim_start().split_once(' ')?;
    Some((beginning.trim().to_owned(), milliseconds.parse().ok()?))
}

fn own(stack: &Stack) -> anyhow::Result<&Postgres> {
    stack.postgres.as_ref().context("Postgres is not our own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_pgbench_has_milliseconds_failures_and_a_statement() {
        let line = "         0.671           0  WITH changed AS (";
        assert_eq!(statement_time(line), Some(("WITH changed AS (".to_owned(), 0.671)));
        assert_eq!(statement_time("statement latencies"), None);
    }
}
