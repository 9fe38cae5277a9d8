//! Note what attempts to send came to, and publish what is final.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use chassis::error::chain;
use chassis::group_commit::{GroupCommit, Waiting};
use chassis::pace::Pace;
use chrono::{DateTime, Utc};
use shared_events::Provenance;
use shared_events::delivery::Wake;
use shared_events::delivery::outbox::{self, AggregateVersion, NewEvent};
use shared_events::event::{MessageFailed, MessageSent};
use sqlx::{PgConnection, PgPool, PgTransaction};

use crate::domain::{Delivery, MessageStatus, RetryBudget};
use crate::metrics;
use crate::store::in_time;
use crate::store::outcomes::{self, Outcome};
use crate::store::queue::Claimed;

/// How many groups of outcomes may be under way at a time.
const LANES: usize = 1;
/// The only one.
const THE_LANE: u64 = 0;
/// Most outcomes of one group.
const LARGEST_GROUP: usize = 256;
/// At which groups follow each other. Nobody waits for an outcome, but its message keeps a place among those that are being sent.
const PACE: Pace = Pace {
    shortest: Duration::from_millis(3),
    each: Duration::from_micros(300),
    longest: Duration::from_millis(12),
};

/// What is to be noted of an attempt. `jitter`, from 0 to 1, shortens the wait for the next one.
#[must_use]
pub fn outcome(
    budget: &RetryBudget,
    claimed: Claimed,
    delivery: Delivery,
    now: DateTime<Utc>,
    jitter: f64,
) -> Outcome {
    let failed = |claimed, reason, may_be_accepted| Outcome {
        claimed,
        status: MessageStatus::Failed,
        reason: Some(reason),
        gateway_message_id: None,
        may_be_accepted,
        at: now,
        due_at: None,
    };
    match delivery {
        Delivery::Sent { gateway_message_id } => Outcome {
            claimed,
            status: MessageStatus::Sent,
            reason: None,
            gateway_message_id,
            may_be_accepted: true,
            at: now,
            due_at: None,
        },
        Delivery::Failed { reason } => failed(claimed, reason, false),
        Delivery::Postponed { reason, retry_after, may_be_accepted } => {
            let (attempts, admitted_at) = (claimed.attempts, claimed.admitted_at);
            match budget.next_attempt(attempts, admitted_at, now, retry_after, jitter) {
                due_at @ Some(_) => Outcome {
                    status: MessageStatus::Queued,
                    due_at,
                    ..failed(claimed, reason, may_be_accepted)
                },
                None => {
                    let reason = format!("given up after {attempts} attempts: {reason}");
                    failed(claimed, reason, may_be_accepted)
                }
            }
        }
    }
}

/// Notes outcomes, those that come at the same moment in one transaction.
#[derive(Debug)]
pub struct Finisher {
    /// Woken after each commit that published something.
    pub relay: Wake,
    pool: PgPool,
    groups: GroupCommit<Arc<Outcome>, bool>,
}

impl Finisher {
    /// Wakes the relay.
    #[must_use]
    pub fn new(pool: PgPool, relay: Wake) -> Self {
        Self { relay, pool, groups: GroupCommit::new(LANES, LARGEST_GROUP, PACE) }
    }

    /// Notes an outcome. Does nothing when the claim has passed to somebody else, or the member has withdrawn. What becomes
    /// of other outcomes has no influence on this one.
    ///
    /// # Errors
    /// When the database fails; to be tried again, which is safe: without an outcome the message is sent twice.
    pub async fn finish(&self, outcome: &Arc<Outcome>) -> sqlx::Result<()> {
        let work = |group| note_group(self.pool.clone(), self.relay.clone(), group);
        if self.groups.submit(THE_LANE, Arc::clone(outcome), work).await == Ok(true) {
            return Ok(());
        }
        if !in_time(note_alone(&self.pool, &self.relay, outcome)).await? {
            let message_id = outcome.claimed.message_id;
            tracing::info!(message_id, "the message is no longer ours to finish");
        }
        Ok(())
    }
}

/// Tells each outcome whether it was noted. Where it was not, it shows why once it is noted alone.
async fn note_group(pool: PgPool, relay: Wake, group: Vec<Waiting<Arc<Outcome>, bool>>) {
    let (outcomes, answers): (Vec<_>, Vec<_>) =
        group.into_iter().map(|Waiting { item, answer }| (item, answer)).unzip();
    let noted = async {
        let tx = pool.begin().await?;
        note(tx, &relay, &outcomes).await
    };
    let noted = in_time(noted).await.unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), outcomes = outcomes.len(), "outcomes are noted one by one");
        vec![false; outcomes.len()]
    });
    answers.into_iter().zip(noted).for_each(|(answer, is_noted)| answer.give(is_noted));
}

/// Says whether the claim was still ours. Waits for whoever is changing the message.
async fn note_alone(pool: &PgPool, relay: &Wake, outcome: &Arc<Outcome>) -> sqlx::Result<bool> {
    let mut tx = pool.begin().await?;
    outcomes::lock_in_tx(&mut tx, outcome.claimed.message_id).await?;
    let noted = note(tx, relay, slice::from_ref(outcome)).await?;
    Ok(noted == [true])
}

/// Says of each outcome whether it was noted.
async fn note(mut tx: PgTransaction<'_>, relay: &Wake, outcomes: &[Arc<Outcome>]) -> sqlx::Result<Vec<bool>> {
    let versions = outcomes::note_all_in_tx(&mut tx, outcomes).await?;
    let noted = outcomes.iter().zip(&versions);
    let ended: Vec<(&Outcome, i64)> = noted
        .filter_map(|(outcome, version)| Some((outcome.as_ref(), (*version)?)))
        .filter(|(outcome, _)| outcome.status != MessageStatus::Queued)
        .collect();
    publish_in_tx(&mut tx, &ended).await?;
    tx.commit().await?;
    for (outcome, _) in &ended {
        metrics::finished(outcome.claimed.kind, outcome.status);
    }
    if !ended.is_empty() {
        relay.wake();
    }
    Ok(versions.iter().map(Option::is_some).collect())
}

async fn publish_in_tx(tx: &mut PgConnection, ended: &[(&Outcome, i64)]) -> sqlx::Result<()> {
    let events: Vec<_> =
        ended.iter().map(|(outcome, version)| event(outcome, *version)).collect::<Result<_, _>>()?;
    outbox::append_all_in_tx(tx, &events).await
}

fn event(outcome: &Outcome, version: i64) -> sqlx::Result<NewEvent> {
    let Claimed { message_id, member_id, membership_id, kind, ref traceparent, .. } = outcome.claimed;
    let aggregate = AggregateVersion { member_id, membership_id, version };
    let provenance = Provenance { actor: "service:message".to_owned(), traceparent: traceparent.clone() };
    match outcome.reason.clone() {
        None => {
            let sent = MessageSent { message_id, member_id, membership_id, kind, sent_at: outcome.at };
            NewEvent::new(aggregate, &sent, &provenance)
        }
        Some(reason) => {
            let failed_at = outcome.at;
            let failed = MessageFailed { message_id, member_id, membership_id, kind, reason, failed_at };
            NewEvent::new(aggregate, &failed, &provenance)
        }
    }
}
