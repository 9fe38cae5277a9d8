//! Claim what is due, as far as the spending guard lets it through.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared_events::delivery::AfterCommit;
use sqlx::{PgConnection, PgPool};
use tokio::sync::OnceCell;

use crate::domain::{Admission, Counter, Limits, Scope};
use crate::metrics;
use crate::store::queue::{self, Claimed, Due, Lease};
use crate::store::send_counts::{self, Fingerprints};

/// Lets messages through as long as they are within limits that all replicas share. A message counts once, however
/// often it is tried: what is beyond a limit waits until the window ends, and neither that nor a gateway that is away
/// uses up anything.
#[derive(Debug)]
pub struct SpendingGuard {
    limits: Limits,
    fingerprints: OnceCell<Fingerprints>,
}

impl SpendingGuard {
    /// A guard with these limits.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, fingerprints: OnceCell::const_new() }
    }

    /// Decides about messages in their order, and counts those that are let through.
    async fn admit_in_tx(
        &self,
        tx: &mut PgConnection,
        messages: &[Due],
        now: DateTime<Utc>,
    ) -> sqlx::Result<Vec<Admission>> {
        let counters: Vec<Vec<Counter>> =
            messages.iter().map(|message| self.limits.counters(&message.phone_no, now)).collect();
        let wanted = tally(counters.iter().flatten(), 1);
        if wanted.is_empty() {
            return Ok(vec![Admission::Admitted; messages.len()]);
        }
        let fingerprints = self.fingerprints.get_or_try_init(|| Fingerprints::load(&mut *tx)).await?;
        let mut counted = send_counts::add_in_tx(tx, fingerprints, &wanted).await?;
        for (counter, count) in &mut counted {
            *count = count.saturating_sub(wanted[counter].unsigned_abs());
        }
        let admissions = self.limits.admit(&counters, &counted);
        let blocked = counters.iter().zip(&admissions).filter(|(_, it)| **it != Admission::Admitted);
        let not_used = tally(blocked.flat_map(|(counters, _)| counters), -1);
        if !not_used.is_empty() {
            send_counts::add_in_tx(tx, fingerprints, &not_used).await?;
        }
        Ok(admissions)
    }
}

fn tally<'c>(counters: impl Iterator<Item = &'c Counter>, amount: i32) -> HashMap<Counter, i32> {
    let mut amounts = HashMap::new();
    for counter in counters {
        *amounts.entry(counter.clone()).or_default() += amount;
    }
    amounts
}

/// What was claimed.
#[derive(Debug, Default)]
pub struct Claims {
    /// Messages that are ours to send.
    pub claimed: Vec<Claimed>,
    /// Whether more may be due that can go out.
    pub may_be_more: bool,
}

/// Claims up to `limit` messages, each by one caller only.
///
/// # Errors
/// When the database fails: nothing is claimed.
pub async fn claim_messages(
    pool: &PgPool,
    guard: &SpendingGuard,
    lease: Lease,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Claims> {
    let mut tx = pool.begin().await?;
    let due = queue::lock_due_in_tx(&mut tx, now, limit).await?;
    if due.is_empty() {
        return Ok(Claims::default());
    }
    let mut may_be_more = i64::try_from(due.len()) == Ok(limit);
    let (admitted, new): (Vec<Due>, Vec<Due>) = due.into_iter().partition(|due| due.is_admitted);
    let mut to_claim: Vec<i64> = admitted.iter().map(|due| due.message_id).collect();
    let (mut delayed, mut until) = (Vec::new(), Vec::new());
    let mut after = AfterCommit::default();
    let admissions = guard.admit_in_tx(&mut tx, &new, now).await?;
    for (message, admission) in new.iter().zip(admissions) {
        match admission {
            Admission::Admitted => to_claim.push(message.message_id),
            // They all wait: where they are in the queue tells who is next.
            Admission::Blocked { scope: Scope::Overall, .. } => may_be_more = false,
            Admission::Blocked { until: end, .. } => {
                delayed.push(message.message_id);
                until.push(end);
            }
        }
        if let Admission::Blocked { scope, .. } = admission {
            after.add(move || metrics::blocked(scope));
        }
    }
    if !delayed.is_empty() {
        tracing::warn!(messages = delayed.len(), "the spending guard delays messages");
        queue::delay_in_tx(&mut tx, &delayed, &until).await?;
    }
    if to_claim.is_empty() {
        // Behind those who wait for the next minute may be some that were let through before.
        to_claim = queue::lock_admitted_in_tx(&mut tx, now, limit).await?;
    }
    let claimed = match to_claim.as_slice() {
        [] => Vec::new(),
        message_ids => queue::claim_in_tx(&mut tx, message_ids, lease, now).await?,
    };
    tx.commit().await?;
    after.run();
    Ok(Claims { claimed, may_be_more })
}
