//! How many messages were let through, for the spending guard. Numbers are kept as keyed hashes only, until their
//! window is over.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sqlx::{PgConnection, PgExecutor, PgPool};

use crate::domain::{Counter, Scope};

const PURGE_EVERY: Duration = Duration::from_secs(10 * 60);
const PURGE_BATCH: i64 = 10_000;

/// Hashes digits, so that they can be told apart and not read.
#[derive(Clone)]
pub struct Fingerprints(Hmac<Sha256>);

impl std::fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprints(…)")
    }
}

impl Fingerprints {
    /// With the key of this database, which never changes.
    pub async fn load(executor: impl PgExecutor<'_>) -> sqlx::Result<Self> {
        let key = sqlx::query_scalar!("SELECT key FROM fingerprint_key").fetch_one(executor).await?;
        Hmac::new_from_slice(&key).map(Self).map_err(|error| sqlx::Error::Decode(error.into()))
    }

    fn of(&self, counter: &Counter) -> Vec<u8> {
        self.0.clone().chain_update(&counter.digits.0).finalize().into_bytes().to_vec()
    }
}

/// Adds to counters, and returns what each of them has then. They stay locked until the transaction ends.
pub async fn add_in_tx(
    tx: &mut PgConnection,
    fingerprints: &Fingerprints,
    amounts: &HashMap<Counter, i32>,
) -> sqlx::Result<HashMap<Counter, u32>> {
    let mut counters: Vec<(Vec<u8>, &Counter)> =
        amounts.keys().map(|counter| (fingerprints.of(counter), counter)).collect();
    // In one order for everybody, so that no two wait for each other.
    counters.sort_unstable_by(|(one, a), (other, b)| (a.scope, one).cmp(&(b.scope, other)));
    let scopes: Vec<String> = counters.iter().map(|(_, counter)| counter.scope.as_str().to_owned()).collect();
    let hashes: Vec<Vec<u8>> = counters.iter().map(|(hash, _)| hash.clone()).collect();
    let windows: Vec<DateTime<Utc>> = counters.iter().map(|(_, counter)| counter.window_start).collect();
    let added: Vec<i32> = counters.iter().map(|(_, counter)| amounts[counter]).collect();
    let rows = sqlx::query!(
        "INSERT INTO send_count (scope, fingerprint, window_start, count)
         SELECT * FROM unnest($1::text[], $2::bytea[], $3::timestamptz[], $4::integer[])
         ON CONFLICT (scope, fingerprint, window_start) DO UPDATE SET count = send_count.count + excluded.count
         RETURNING scope, fingerprint, count",
        &scopes,
        &hashes,
        &windows,
        &added,
    )
    .fetch_all(tx)
    .await?;
    let counts: HashMap<(String, Vec<u8>), i32> =
        rows.into_iter().map(|row| ((row.scope, row.fingerprint), row.count)).collect();
    let count = |hash, counter: &Counter| counts.get(&(counter.scope.as_str().to_owned(), hash)).copied();
    let counted = counters.into_iter().map(|(hash, counter)| {
        let count = count(hash, counter).unwrap_or(0);
        (counter.clone(), u32::try_from(count).unwrap_or(0))
    });
    Ok(counted.collect())
}

/// Forgets windows that are over, for ever, in small transactions.
///
/// # Errors
/// When the database fails; to be restarted by the supervisor.
pub async fn purge_forever(pool: &PgPool, clock: fn() -> DateTime<Utc>) -> sqlx::Result<()> {
    loop {
        for scope in Scope::ALL {
            while purge(pool, scope, clock()).await? == PURGE_BATCH.unsigned_abs() {}
        }
        tokio::time::sleep(PURGE_EVERY).await;
    }
}

/// Forgets some windows that are over. Returns how many counters.
pub async fn purge(executor: impl PgExecutor<'_>, scope: Scope, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let purged = sqlx::query!(
        "DELETE FROM send_count WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM send_count WHERE scope = $1 AND window_start <= $2 LIMIT $3 FOR UPDATE SKIP LOCKED))",
        scope.as_str(),
        now - scope.window(),
        PURGE_BATCH,
    )
    .execute(executor)
    .await?;
    Ok(purged.rows_affected())
}
