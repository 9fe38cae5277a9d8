//! The removal of members whose points are forfeited, those who leave at the same moment in one transaction.

use std::sync::Arc;

use chassis::group_transaction::{GroupPerformed, GroupTransaction, Locking, Verdict};
use chrono::{DateTime, Utc};
use shared_events::delivery::outbox::{self, AggregateVersion, NewEvent};
use shared_events::delivery::{AfterCommit, Wake};
use shared_events::event::MemberWithdrawn;
use shared_events::time::in_micros;
use shared_events::{MemberId, MembershipId, Provenance};
use sqlx::PgConnection;

use crate::metrics;
use crate::store::members;
use crate::store::tombstones::{self, Tombstone};

/// A member whose points are forfeited.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    pub(crate) member_id: MemberId,
    pub(crate) membership_id: MembershipId,
    pub(crate) provenance: Provenance,
    pub(crate) now: DateTime<Utc>,
}

/// Removals as they are carried out in groups.
pub(super) struct Removals {
    pub(super) relay: Wake,
}

impl GroupTransaction for Removals {
    type Item = Leaving;
    type Outcome = Result<(), Arc<sqlx::Error>>;
    type AfterCommit = AfterCommit;

    fn key(leaving: &Leaving) -> u64 {
        leaving.member_id.get().unsigned_abs()
    }

    async fn perform_in_tx(
        &self,
        tx: &mut PgConnection,
        leaving: &[Leaving],
        _locking: Locking,
    ) -> sqlx::Result<GroupPerformed<Self>> {
        let mut after = AfterCommit::default();
        let removed = remove_all_in_tx(tx, leaving, &mut after).await?;
        let verdicts = leaving.iter().map(|_| Verdict::Now(Ok(()))).collect();
        Ok(GroupPerformed { verdicts, written: (removed > 0).then_some(after) })
    }

    fn committed(&self, after: AfterCommit) {
        after.run();
        self.relay.wake();
    }

    fn failed(error: Arc<sqlx::Error>) -> Self::Outcome {
        Err(error)
    }
}

/// Removes those who are still there, leaves their tombstones and publishes `MemberWithdrawn`. Whoever deletes a row publishes:
/// the saga or the policy. Returns how many it were.
pub(crate) async fn remove_all_in_tx(
    tx: &mut PgConnection,
    leaving: &[Leaving],
    after: &mut AfterCommit,
) -> sqlx::Result<usize> {
    let membership_ids: Vec<MembershipId> = leaving.iter().map(|leaving| leaving.membership_id).collect();
    let mut last_versions = members::delete_all_in_tx(tx, &membership_ids).await?;
    let (mut withdrawn, mut events) = (Vec::new(), Vec::new());
    for Leaving { member_id, membership_id, provenance, now } in leaving {
        // Somebody else has removed it, or this has, as it was asked twice.
        let Some(version) = last_versions.remove(membership_id) else { continue };
        let (member_id, membership_id, withdrawn_at) = (*member_id, *membership_id, in_micros(*now));
        let tombstone = Tombstone { member_id, membership_id, last_version: version + 1, withdrawn_at };
        events.push(withdrawal(&tombstone, provenance)?);
        withdrawn.push(tombstone);
        after.add(metrics::withdrew);
    }
    tombstones::put_all_in_tx(tx, &withdrawn).await?;
    outbox::append_all_in_tx(tx, &events).await?;
    Ok(withdrawn.len())
}

/// Tells of a withdrawal, for the first or the second time.
pub(crate) fn withdrawal(tombstone: &Tombstone, provenance: &Provenance) -> sqlx::Result<NewEvent> {
    let Tombstone { member_id, membership_id, last_version: version, withdrawn_at } = *tombstone;
    let event = MemberWithdrawn { member_id, membership_id, withdrawn_at };
    NewEvent::new(AggregateVersion { member_id, membership_id, version }, &event, provenance)
}
