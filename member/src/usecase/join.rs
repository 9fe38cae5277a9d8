//! Join. Needs nothing but this service's own Postgres: it is open 24 hours, 365 days (the requirement).

use std::slice;

use chassis::idempotency::{Once, OnceError};
use chrono::{DateTime, Utc};
use shared_events::delivery::Wake;
use shared_events::delivery::outbox::{self, AggregateVersion};
use shared_events::event::{MemberJoined, MemberStatus};
use shared_events::{MemberId, MembershipId, Provenance};
use sqlx::{PgConnection, PgPool};

use crate::domain::{Member, Nickname, PhoneNo};
use crate::metrics;
use crate::store::members::{self, StoreError};
use crate::store::tombstones;

/// Who wants to join.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// The id to be known by, where the client chose one.
    pub member_id: Option<MemberId>,
    /// Where the notification goes.
    pub phone_no: PhoneNo,
    /// What the member wants to be called.
    pub nickname: Nickname,
}

/// What became of an application.
#[derive(Clone, Debug)]
pub enum Joined {
    /// Somebody is a member now.
    Now(Member),
    /// The same application was granted before, to a member of this id.
    Before(MemberId),
}

/// Why nobody joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The memberId or the phone number is taken, or the database failed.
    #[error("the member cannot be stored")]
    Store(#[from] StoreError),
    /// The application came under a key that stands in its way.
    #[error("the application is not taken up")]
    Once(#[from] OnceError),
}

impl From<sqlx::Error> for JoinError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Makes somebody a member and publishes `MemberJoined`, unless that was done before.
///
/// # Errors
/// [`JoinError`]
pub async fn join(
    pool: &PgPool,
    relay: &Wake,
    applicant: Applicant,
    membership_id: MembershipId,
    provenance: &Provenance,
    now: DateTime<Utc>,
    once: &Once,
) -> Result<Joined, JoinError> {
    let chosen = applicant.member_id.is_some();
    loop {
        let joined = attempt(pool, applicant.clone(), membership_id, provenance, now, once).await;
        match joined {
            // Somebody chose the id that was generated in the same moment: the next one will do.
            Err(JoinError::Store(StoreError::MemberIdTaken)) if !chosen => {}
            Ok(_) => {
                relay.wake();
                return joined;
            }
            Err(_) => return joined,
        }
    }
}

async fn attempt(
    pool: &PgPool,
    applicant: Applicant,
    membership_id: MembershipId,
    provenance: &Provenance,
    now: DateTime<Utc>,
    once: &Once,
) -> Result<Joined, JoinError> {
    let mut tx = pool.begin().await?;
    let joined = join_in_tx(&mut tx, applicant, membership_id, provenance, now, once).await;
    match &joined {
        Ok(Joined::Now(_)) => {
            tx.commit().await?;
            metrics::became(MemberStatus::Ready);
        }
        // At once, not when the connection is used next: the next request may come with the same key.
        Ok(Joined::Before(_)) | Err(_) => tx.rollback().await?,
    }
    joined
}

async fn join_in_tx(
    tx: &mut PgConnection,
    applicant: Applicant,
    membership_id: MembershipId,
    provenance: &Provenance,
    now: DateTime<Utc>,
    once: &Once,
) -> Result<Joined, JoinError> {
    if let Some(answer) = once.begin_in_tx(tx).await? {
        return Ok(Joined::Before(recorded(&answer)?));
    }
    let Applicant { member_id, phone_no, nickname } = applicant;
    let member_id = match member_id {
        Some(member_id) => member_id,
        None => members::next_free_id_in_tx(tx).await?,
    };
    let mut member = Member::join(member_id, membership_id, phone_no, nickname, now);
    // The insertion comes first: it waits for a withdrawal of this id that is about to leave its tombstone.
    members::insert_in_tx(tx, &member).await?;
    go_on_from_tombstone_in_tx(tx, &mut member).await?;
    let aggregate = AggregateVersion { member_id, membership_id, version: member.version };
    outbox::append_in_tx(tx, aggregate, &MemberJoined(member.to_state()), provenance).await?;
    once.record_in_tx(tx, || member_id.to_string()).await?;
    Ok(Joined::Now(member))
}

/// What is recorded of a joining is the id: the rest of the answer is in the application, and personal.
fn recorded(answer: &str) -> Result<MemberId, JoinError> {
    let id = answer.parse().ok().and_then(|id: i64| MemberId::try_from(id).ok());
    id.ok_or_else(|| sqlx::Error::Decode("no memberId was recorded".into()).into())
}

async fn go_on_from_tombstone_in_tx(tx: &mut PgConnection, member: &mut Member) -> Result<(), StoreError> {
    let last_version = tombstones::supersede_in_tx(tx, member.member_id).await?;
    if last_version > 0 {
        member.go_on_from(last_version);
        members::update_all_in_tx(tx, slice::from_ref(member)).await?;
    }
    Ok(())
}
