//! The memberships that a batch of events is about.

use std::collections::HashMap;
use std::mem;

use shared_events::delivery::AfterCommit;
use shared_events::delivery::outbox::{self, AggregateVersion, NewEvent};
use shared_events::event::MemberStatusChanged;
use shared_events::{MembershipId, Provenance};
use sqlx::PgConnection;

use crate::domain::Member;
use crate::metrics;
use crate::store::members::{self, StoreError};
use crate::usecase::withdraw::{self, Leaving};

/// Memberships that are locked, as the events so far have left them, and what of that is not stored yet.
#[derive(Default)]
pub(super) struct Memberships {
    members: HashMap<MembershipId, Member>,
    unsaved: Vec<Member>,
    unpublished: Vec<NewEvent>,
    leaving: Vec<Leaving>,
}

impl Memberships {
    /// Locks those that have not ended.
    pub(super) async fn lock_in_tx(
        tx: &mut PgConnection,
        membership_ids: &[MembershipId],
    ) -> sqlx::Result<Self> {
        if membership_ids.is_empty() {
            return Ok(Self::default());
        }
        let members = members::lock_memberships_in_tx(tx, membership_ids).await?;
        Ok(Self { members, ..Self::default() })
    }

    /// The member, if the membership has not ended.
    pub(super) fn get(&self, membership_id: MembershipId) -> Option<&Member> {
        self.members.get(&membership_id)
    }

    /// Notes a member whose status has changed, to be stored and published.
    pub(super) fn change(
        &mut self,
        member: Member,
        provenance: &Provenance,
        after: &mut AfterCommit,
    ) -> sqlx::Result<()> {
        self.unsaved.push(member.clone());
        self.publish(member, provenance, after)
    }

    /// Notes a member whose new status is stored, to be published. It is counted `after` the commit.
    pub(super) fn publish(
        &mut self,
        member: Member,
        provenance: &Provenance,
        after: &mut AfterCommit,
    ) -> sqlx::Result<()> {
        let Member { member_id, membership_id, status, version, .. } = member;
        let aggregate = AggregateVersion { member_id, membership_id, version };
        self.unpublished.push(NewEvent::new(aggregate, &MemberStatusChanged(member.to_state()), provenance)?);
        self.members.insert(membership_id, member);
        after.add(move || metrics::became(status));
        Ok(())
    }

    /// Notes a member who withdraws, to be removed. The membership has ended.
    pub(super) fn end(&mut self, leaving: Leaving) {
        self.members.remove(&leaving.membership_id);
        self.leaving.push(leaving);
    }

    /// Stores and publishes what was noted so far.
    pub(super) async fn store_in_tx(
        &mut self,
        tx: &mut PgConnection,
        after: &mut AfterCommit,
    ) -> Result<(), StoreError> {
        members::update_all_in_tx(tx, &mem::take(&mut self.unsaved)).await?;
        outbox::append_all_in_tx(tx, &mem::take(&mut self.unpublished)).await?;
        // A withdrawal goes on from the version that is stored, and is published behind it.
        withdraw::remove_all_in_tx(tx, &mem::take(&mut self.leaving), after).await?;
        Ok(())
    }
}
