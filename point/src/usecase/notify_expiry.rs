//! Tell members in time that points expire: once for each expiry and stage.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared_events::delivery::Wake;
use shared_events::delivery::outbox::{self, AggregateVersion, NewEvent};
use shared_events::event::{NextExpiration, PointsExpiring};
use shared_events::{MemberId, MembershipId, Provenance};
use sqlx::PgPool;

use crate::domain::NoticeStage;
use crate::store::accounts;
use crate::store::notices::{self, Due};
use crate::usecase::expire_points::{BEGINNING, Cursor};

/// Most lots of one transaction.
pub const BATCH: i64 = 500;
/// How often to look when nobody is to be told.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);

/// Tells whom it concerns, for ever. Of all replicas one works at a time.
///
/// # Errors
/// When the database fails; to be restarted by the supervisor.
pub async fn notify_forever(pool: &PgPool, relay: &Wake, clock: fn() -> DateTime<Utc>) -> sqlx::Result<()> {
    loop {
        for stage in NoticeStage::ALL {
            let mut behind = Some(BEGINNING);
            while let Some(last) = behind {
                behind = notify_batch(pool, relay, stage, last, clock()).await?.1;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Tells some members of what expires at a stage, in one transaction. Returns how many expiries, and where the next batch
/// begins; `None` when there is no next one, or another replica is at it. Who dies in between has told nobody; the next
/// one does.
///
/// # Errors
/// When the database fails: nobody is told then.
pub async fn notify_batch(
    pool: &PgPool,
    relay: &Wake,
    stage: NoticeStage,
    behind: Cursor,
    now: DateTime<Utc>,
) -> sqlx::Result<(usize, Option<Cursor>)> {
    let provenance = Provenance { actor: "service:point".to_owned(), traceparent: None };
    let mut tx = pool.begin().await?;
    if !accounts::try_lead_in_tx(&mut tx, "point.notice").await? {
        return Ok((0, None));
    }
    let (due, last) = notices::take_due_in_tx(&mut tx, stage, behind, now, BATCH).await?;
    let events = due.iter().map(|due| event(due, stage, &provenance, now));
    let events: Vec<NewEvent> = events.collect::<sqlx::Result<_>>()?;
    outbox::append_all_in_tx(&mut tx, &events).await?;
    tx.commit().await?;
    if !events.is_empty() {
        relay.wake();
    }
    Ok((events.len(), last))
}

fn event(
    due: &Due,
    stage: NoticeStage,
    provenance: &Provenance,
    now: DateTime<Utc>,
) -> sqlx::Result<NewEvent> {
    let member_id = MemberId::try_from(due.member_id).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let membership_id = MembershipId(due.membership_id);
    let event = PointsExpiring {
        member_id,
        membership_id,
        points: due.points,
        expires_at: due.expires_at,
        stage: stage.as_str().to_owned(),
        remain_point: due.balance,
        next_expiration: Some(NextExpiration { points: due.next_points, expires_at: due.next_expires_at }),
        occurred_at: now,
    };
    NewEvent::new(AggregateVersion { member_id, membership_id, version: due.version }, &event, provenance)
}
