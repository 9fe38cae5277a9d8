//! What is remembered of commands, in Postgres.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};

use super::{Keyed, Once, OnceError};
use crate::Runtime;

/// How long a command is remembered at least.
const RETENTION_HOURS: i32 = 24;
const PURGE_EVERY: Duration = Duration::from_secs(10 * 60);
const PURGE_BATCH: i64 = 10_000;

/// Lets nobody else carry out any of these commands until the transaction ends. Says of each whether that was to be had at
/// once: not while it is being carried out, and not for the second of two with the same key. What has no key is free.
///
/// # Errors
/// When the statement fails.
pub async fn try_lock_all_in_tx(tx: &mut PgConnection, commands: &[Once]) -> sqlx::Result<Vec<bool>> {
    let mut locks = HashMap::new();
    for keyed in commands.iter().filter_map(|command| command.0.as_ref()) {
        locks.insert(keyed.lock(), false);
    }
    if !locks.is_empty() {
        let rows = sqlx::query!(
            r#"SELECT lock AS "lock!", pg_try_advisory_xact_lock(lock) AS "is_ours!" FROM unnest($1::bigint[]) AS lock"#,
            &locks.keys().copied().collect::<Vec<_>>()
        );
        locks.extend(rows.fetch_all(tx).await?.into_iter().map(|row| (row.lock, row.is_ours)));
    }
    let mut take = |keyed: &Keyed| locks.insert(keyed.lock(), false).unwrap_or_default();
    Ok(commands.iter().map(|command| command.0.as_ref().is_none_or(&mut take)).collect())
}

/// What was recorded when each of these commands, whose keys are locked, was decided before.
///
/// # Errors
/// When the statement fails. In the answer: [`OnceError::OtherBody`].
pub async fn recorded_all_in_tx(
    tx: &mut PgConnection,
    commands: &[Once],
) -> sqlx::Result<Vec<Result<Option<String>, OnceError>>> {
    let keyed = || commands.iter().filter_map(|command| command.0.as_ref());
    let mut recorded = HashMap::new();
    if keyed().next().is_some() {
        let rows = sqlx::query!(
            "SELECT id, body_hash, answer FROM idempotency_key WHERE id = ANY ($1)",
            &keyed().map(|keyed| keyed.id.to_vec()).collect::<Vec<_>>()
        );
        let rows = rows.fetch_all(tx).await?;
        recorded.extend(rows.into_iter().map(|row| (row.id, (row.body_hash, row.answer))));
    }
    let before = |keyed: &Keyed| match recorded.get(keyed.id.as_slice()) {
        Some((body_hash, _)) if *body_hash != keyed.body_hash => Err(OnceError::OtherBody),
        Some((_, answer)) => Ok(Some(answer.clone())),
        None => Ok(None),
    };
    Ok(commands.iter().map(|command| command.0.as_ref().map_or(Ok(None), before)).collect())
}

/// Remembers what is decided with this transaction on each of these commands, as that which gives its answer again. What has no
/// key is not remembered.
///
/// # Errors
/// When the statement fails: also when one of them was recorded meanwhile.
pub async fn record_all_in_tx(tx: &mut PgConnection, commands: &[(&Once, String)]) -> sqlx::Result<()> {
    let keyed = commands.iter().filter_map(|(command, answer)| Some((command.0.as_ref()?, answer.as_str())));
    let keyed: Vec<(&Keyed, &str)> = keyed.collect();
    if keyed.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO idempotency_key (id, body_hash, answer) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::text[])",
        &keyed.iter().map(|(keyed, _)| keyed.id.to_vec()).collect::<Vec<_>>(),
        &keyed.iter().map(|(keyed, _)| keyed.body_hash.to_vec()).collect::<Vec<_>>(),
        &keyed.iter().map(|(_, answer)| *answer).collect::<Vec<_>>() as &[&str],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Starts to forget what is older than a day: for services that take keys.
pub fn start_purging(runtime: &Runtime) {
    let pool = runtime.pool.clone();
    runtime.supervisor.spawn("idempotency-purge", move |token| {
        let pool = pool.clone();
        async move { Ok(token.run_until_cancelled(purge_forever(&pool)).await.unwrap_or(Ok(()))?) }
    });
}

/// For ever, in small transactions. An error is for the supervisor, which starts anew.
async fn purge_forever(pool: &PgPool) -> sqlx::Result<()> {
    loop {
        if purge(pool).await? < PURGE_BATCH.unsigned_abs() {
            tokio::time::sleep(PURGE_EVERY).await;
        }
    }
}

/// Forgets some of what is older than a day. Returns how many commands.
///
/// # Errors
/// When the database fails.
pub async fn purge(pool: &PgPool) -> sqlx::Result<u64> {
    let purged = sqlx::query!(
        "DELETE FROM idempotency_key WHERE id = ANY (ARRAY(
             SELECT id FROM idempotency_key WHERE created_at < now() - make_interval(hours => $1)
             ORDER BY created_at LIMIT $2))",
        RETENTION_HOURS,
        PURGE_BATCH,
    )
    .execute(pool)
    .await?;
    Ok(purged.rows_affected())
}
