//! A group of applications in one transaction: each is decided by itself.

use std::collections::{HashMap, HashSet};

use chassis::group_transaction::{GroupPerformed, Verdict};
use chassis::idempotency::{self, Once, OnceError};
use shared_events::delivery::AfterCommit;
use shared_events::delivery::outbox::{self, AggregateVersion, NewEvent};
use shared_events::event::{MemberJoined, MemberStatus};
use shared_events::{MemberId, MembershipId};
use sqlx::PgConnection;

use super::{Applicant, Application, Applications, Decision, JoinError, Joined, Refusal};
use crate::domain::{Member, PhoneNo};
use crate::metrics;
use crate::store::{members, tombstones};

/// Takes up applications. One that is not granted leaves nothing behind but, under its key, the refusal.
pub(super) async fn join_in_tx(
    tx: &mut PgConnection,
    applications: &[Application],
) -> sqlx::Result<GroupPerformed<Applications>> {
    let commands: Vec<Once> = applications.iter().map(|application| application.once.clone()).collect();
    let are_ours = idempotency::try_lock_all_in_tx(tx, &commands).await?;
    let recorded = idempotency::recorded_all_in_tx(tx, &commands).await?;
    let before: Vec<_> = are_ours.into_iter().zip(recorded).map(before).collect();

    let fresh = applications.iter().zip(&before).filter(|(_, before)| before.is_none());
    let fresh: Vec<&Application> = fresh.map(|(application, _)| application).collect();
    let mut admitted = admit_in_tx(tx, &fresh).await?;
    let left_out: Vec<&Applicant> = fresh
        .iter()
        .filter(|application| !admitted.contains_key(&application.membership_id))
        .map(|application| &application.applicant)
        .collect();
    let taken = Taken::find_in_tx(tx, &left_out).await?;

    let mut after = AfterCommit::default();
    let (mut events, mut records, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    for (application, before) in applications.iter().zip(before) {
        let Application { applicant, membership_id, once, provenance, .. } = application;
        let mut remember = |decision| -> sqlx::Result<()> {
            if once.has_key() {
                records.push((once, to_record(decision)?));
            }
            Ok(())
        };
        verdicts.push(match (before, admitted.remove(membership_id)) {
            (Some(decided), _) => Verdict::Now(decided),
            (None, None) => match taken.refuse(applicant) {
                None => Verdict::Later,
                Some(refusal) => {
                    remember(Decision::Refused(refusal))?;
                    Verdict::Now(Err(refusal.into()))
                }
            },
            (None, Some(member)) => {
                let (member_id, membership_id, version) = (member.member_id, *membership_id, member.version);
                let aggregate = AggregateVersion { member_id, membership_id, version };
                events.push(NewEvent::new(aggregate, &MemberJoined(member.to_state()), provenance)?);
                remember(Decision::Granted(member_id))?;
                after.add(|| metrics::became(MemberStatus::Ready));
                Verdict::Now(Ok(Joined::Now(member)))
            }
        });
    }
    outbox::append_all_in_tx(tx, &events).await?;
    idempotency::record_all_in_tx(tx, &records).await?;
    let has_written = !events.is_empty() || !records.is_empty();
    Ok(GroupPerformed { verdicts, written: has_written.then_some(after) })
}

/// What became of an application when it came before, and what its key has against it.
fn before(
    (is_ours, recorded): (bool, Result<Option<String>, OnceError>),
) -> Option<Result<Joined, JoinError>> {
    if !is_ours {
        return Some(Err(OnceError::InProgress.into()));
    }
    let answer = recorded.map_err(JoinError::from).transpose()?;
    Some(answer.and_then(|answer| Ok(Joined::Before(from_record(&answer)?))))
}

fn to_record(decision: Decision) -> sqlx::Result<String> {
    serde_json::to_string(&decision).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn from_record(record: &str) -> sqlx::Result<Decision> {
    serde_json::from_str(record).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Stores the members of those applications that nobody stands in the way of.
async fn admit_in_tx(
    tx: &mut PgConnection,
    applications: &[&Application],
) -> sqlx::Result<HashMap<MembershipId, Member>> {
    let without_id = applications.iter().filter(|application| application.applicant.member_id.is_none());
    let mut free_ids = members::next_free_ids_in_tx(tx, without_id.count()).await?.into_iter();
    let mut members = Vec::with_capacity(applications.len());
    for Application { applicant, membership_id, now, .. } in applications {
        let Applicant { member_id, phone_no, nickname } = (*applicant).clone();
        let member_id = member_id.or_else(|| free_ids.next()).ok_or(sqlx::Error::RowNotFound)?;
        members.push(Member::join(member_id, *membership_id, phone_no, nickname, *now));
    }
    // The insertion comes first: it waits for a withdrawal of an id that is about to leave its tombstone.
    let stored = members::insert_all_in_tx(tx, &members).await?;
    members.retain(|member| stored.contains(&member.membership_id));
    go_on_from_tombstones_in_tx(tx, &mut members).await?;
    Ok(members.into_iter().map(|member| (member.membership_id, member)).collect())
}

async fn go_on_from_tombstones_in_tx(tx: &mut PgConnection, members: &mut [Member]) -> sqlx::Result<()> {
    let member_ids: Vec<MemberId> = members.iter().map(|member| member.member_id).collect();
    let last_versions = tombstones::supersede_all_in_tx(tx, &member_ids).await?;
    let mut rejoined = Vec::new();
    for member in members {
        if let Some(last_version) = last_versions.get(&member.member_id) {
            member.go_on_from(*last_version);
            rejoined.push(member.clone());
        }
    }
    Ok(members::update_all_in_tx(tx, &rejoined).await?)
}

/// What others have of what applicants want.
#[derive(Default)]
struct Taken {
    member_ids: HashSet<MemberId>,
    phone_nos: HashSet<PhoneNo>,
}

impl Taken {
    async fn find_in_tx(tx: &mut PgConnection, applicants: &[&Applicant]) -> sqlx::Result<Self> {
        if applicants.is_empty() {
            return Ok(Self::default());
        }
        let chosen: Vec<MemberId> = applicants.iter().filter_map(|applicant| applicant.member_id).collect();
        let phone_nos: Vec<&PhoneNo> = applicants.iter().map(|applicant| &applicant.phone_no).collect();
        Ok(Self {
            member_ids: members::taken_ids_in_tx(tx, &chosen).await?,
            phone_nos: members::taken_phone_nos_in_tx(tx, &phone_nos).await?,
        })
    }

    /// What stands in an applicant's way: nothing where only a generated id was taken, or whoever stood there has left by now.
    fn refuse(&self, applicant: &Applicant) -> Option<Refusal> {
        if applicant.member_id.is_some_and(|member_id| self.member_ids.contains(&member_id)) {
            return Some(Refusal::MemberIdTaken);
        }
        self.phone_nos.contains(&applicant.phone_no).then_some(Refusal::PhoneTaken)
    }
}
