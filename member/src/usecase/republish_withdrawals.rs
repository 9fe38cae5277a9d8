//! Publish each withdrawal a second time a day later, so that it is the newest record of its key whatever was
//! re-sent in between, and compaction removes the personal data before it. Where the id has rejoined, the member is
//! published again in its place: Kafka closes and compacts an old segment only when something is appended.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared_events::Provenance;
use shared_events::delivery::Wake;
use shared_events::delivery::outbox::{self, AggregateVersion, NewEvent};
use shared_events::event::{MemberJoined, MemberStatus, MemberStatusChanged};
use sqlx::PgPool;

use crate::domain::Member;
use crate::store::{members, tombstones};
use crate::usecase::withdraw::withdrawal;

/// How long after a withdrawal.
const DELAY: TimeDelta = TimeDelta::days(1);
const CHECK_EVERY: Duration = Duration::from_secs(10 * 60);
const BATCH: i64 = 500;

/// Publishes what is due, now and whenever it becomes due.
///
/// # Errors
/// When the database fails; to be restarted by the supervisor.
pub async fn republish_forever(
    pool: &PgPool,
    relay: &Wake,
    now: impl Fn() -> DateTime<Utc>,
) -> sqlx::Result<()> {
    loop {
        if republish_due(pool, relay, now()).await? == 0 {
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }
}

/// Publishes a batch of what is due at `now` and returns how many records that were.
///
/// # Errors
/// When the database fails.
pub async fn republish_due(pool: &PgPool, relay: &Wake, now: DateTime<Utc>) -> sqlx::Result<usize> {
    let provenance = Provenance { actor: "service:member".to_owned(), traceparent: None };
    let mut tx = pool.begin().await?;
    let withdrawn = tombstones::take_due_in_tx(&mut tx, now - DELAY, now, BATCH).await?;
    let withdrawals = withdrawn.iter().map(|tombstone| withdrawal(tombstone, &provenance));
    let rejoined = members::take_rejoined_in_tx(&mut tx, now - DELAY, now, BATCH).await?;
    let states = rejoined.iter().map(|member| state(member, &provenance));
    let events: Vec<NewEvent> = withdrawals.chain(states).collect::<Result<_, _>>()?;
    outbox::append_all_in_tx(&mut tx, &events).await?;
    tx.commit().await?;
    relay.wake();
    Ok(events.len())
}

/// Tells of a member as it stands, under the version that it has.
fn state(member: &Member, provenance: &Provenance) -> sqlx::Result<NewEvent> {
    let Member { member_id, membership_id, version, .. } = *member;
    let aggregate = AggregateVersion { member_id, membership_id, version };
    let state = member.to_state();
    match member.status {
        MemberStatus::Ready => NewEvent::new(aggregate, &MemberJoined(state), provenance),
        MemberStatus::Normal | MemberStatus::Abnormal => {
            NewEvent::new(aggregate, &MemberStatusChanged(state), provenance)
        }
    }
}
