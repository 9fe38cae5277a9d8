//! What Postgres's time goes into, by statement, as pg_stat_statements has it.

use std::fmt::Write;
use std::fs;

use local_stack::project;
use local_stack::stack::Stack;
use sqlx::{Connection, PgConnection, Row};

use crate::progress;

/// What Postgres needs for it.
pub const SETTING: (&str, &str) = ("shared_preload_libraries", "pg_stat_statements");
/// Those that take less, all in all, than the first so many are left out.
const FIRST: i64 = 15;
/// How much of a statement is told.
const WIDTH: usize = 110;

/// Which statements of the services take the most time, where that is wanted.
pub struct HotStatements {
    /// Connected to only when asked: no database can be copied that somebody is connected to.
    database_url: Option<String>,
}

impl HotStatements {
    /// Counts from now on if that is wanted, on a stack whose Postgres has the [`SETTING`] then.
    pub async fn of(stack: &Stack, wanted: bool) -> anyhow::Result<Self> {
        let counting = Self { database_url: wanted.then(|| stack.database.admin_url()) };
        if let Some(mut connection) = counting.connect().await? {
            sqlx::raw_sql("CREATE EXTENSION pg_stat_statements").execute(&mut connection).await?;
        }
        Ok(counting)
    }

    /// Forgets what was counted.
    pub async fn forget(&self) -> anyhow::Result<()> {
        if let Some(mut connection) = self.connect().await? {
            sqlx::raw_sql("SELECT pg_stat_statements_reset()").execute(&mut connection).await?;
        }
        Ok(())
    }

    async fn connect(&self) -> sqlx::Result<Option<PgConnection>> {
        let Some(url) = &self.database_url else { return Ok(None) };
        PgConnection::connect(url).await.map(Some)
    }

    /// Leaves what was counted during a case in `bench/` in cargo's target folder, and forgets it.
    pub async fn leave(&self, case: &str) -> anyhow::Result<()> {
        let Some(mut connection) = self.connect().await? else { return Ok(()) };
        let counted = sqlx::query(
            "SELECT calls, total_exec_time, mean_exec_time, rows, wal_bytes::bigint, query FROM pg_stat_statements
             WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND userid <> current_user::regrole
             ORDER BY total_exec_time DESC LIMIT $1",
        );
        let mut table = String::from(
            "| total ms | calls | mean ms | rows | WAL KiB | statement |\n|---|---|---|---|---|---|\n",
        );
        for row in counted.bind(FIRST).fetch_all(&mut connection).await? {
            let (calls, total, mean): (i64, f64, f64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let (rows, wal, query): (i64, i64, String) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
            let words: Vec<&str> = query.split_whitespace().collect();
            let query: String = words.join(" ").replace('|', "\\|").chars().take(WIDTH).collect();
            writeln!(table, "| {total:.0} | {calls} | {mean:.3} | {rows} | {} | {query} |", wal / 1024)?;
        }
        let folder = project::target_dir().join("bench");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("statements-{case}.md"));
        fs::write(&file, table)?;
        progress::say(format!("what Postgres's time went into is in {}", file.display()));
        self.forget().await
    }
}
