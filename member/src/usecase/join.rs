//! Join. Needs nothing but this service's own Postgres: it is open 24 hours, 365 days (the requirement).

use chrono::{DateTime, Utc};
use shared_events::delivery::Wake;
use shared_events::delivery::outbox::{self, AggregateVersion};
use shared_events::event::MemberJoined;
use shared_events::{MemberId, MembershipId, Provenance};
use sqlx::{PgConnection, PgPool};

use crate::domain::{Member, Nickname, PhoneNo};
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

/// Makes somebody a member and publishes `MemberJoined`.
///
/// # Errors
/// [`StoreError`]: the memberId or the phone number is taken, or the database failed.
pub async fn join(
    pool: &PgPool,
    relay: &Wake,
    applicant: Applicant,
    membership_id: MembershipId,
    provenance: &Provenance,
    now: DateTime<Utc>,
) -> Result<Member, StoreError> {
    let chosen = applicant.member_id.is_some();
    loop {
        let joined = attempt(pool, applicant.clone(), membership_id, provenance, now).await;
        match joined {
            // Somebody chose the id that was generated in the same moment: the next one will do.
            Err(StoreError::MemberIdTaken) if !chosen => {}
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
) -> Result<Member, StoreError> {
    let mut tx = pool.begin().await?;
    let Applicant { member_id, phone_no, nickname } = applicant;
    let member_id = match member_id {
        Some(member_id) => member_id,
        None => members::next_free_id_in_tx(&mut tx).await?,
    };
    let mut member = Member::join(member_id, membership_id, phone_no, nickname, now);
    // The insertion comes first: it waits for a withdrawal of this id that is about to leave its tombstone.
    members::insert_in_tx(&mut tx, &member).await?;
    go_on_from_tombstone_in_tx(&mut tx, &mut member).await?;
    let aggregate = AggregateVersion { member_id, membership_id, version: member.version };
    outbox::append_in_tx(&mut tx, aggregate, &MemberJoined(member.to_state()), provenance).await?;
    tx.commit().await?;
    Ok(member)
}

async fn go_on_from_tombstone_in_tx(tx: &mut PgConnection, member: &mut Member) -> Result<(), StoreError> {
    let last_version = tombstones::supersede_in_tx(tx, member.member_id).await?;
    if last_version > 0 {
        member.go_on_from(last_version);
        members::update_in_tx(tx, member).await?;
    }
    Ok(())
}
