//! The memberships that a batch of events is about.

use std::collections::HashMap;

use shared_events::delivery::AfterCommit;
use shared_events::delivery::outbox::{self, AggregateVersion, NewEvent};
use shared_events::event::MemberStatusChanged;
use shared_events::{MembershipId, Provenance};
use sqlx::PgConnection;

use crate::domain::Member;
use crate::metrics;
use crate::store::members::{self, StoreError};

/// Memberships that are locked, as the events so far have left them, and what of that is not stored yet.
#[derive(Default)]
pub(super) struct Memberships {
    members: HashMap<MembershipId, Member>,
    unsaved: Vec<Member>,
    unpublished: Vec<NewEvent>,
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

    /// Forgets a membership that has ended.
    pub(super) fn end(&mut self, membership_id: MembershipId) {
        self.members.remove(&membership_id);
    }

    /// Stores and publishes what was noted so far.
    pub(super) async fn store_in_tx(&mut self, tx: &mut PgConnection) -> Result<(), StoreError> {
        if !self.unsaved.is_empty() {
            members::update_all_in_tx(tx, &self.unsaved).await?;
            self.unsaved.clear();
        }
        if !self.unpublished.is_empty() {
            outbox::append_all_in_tx(tx, &self.unpublished).await?;
            self.unpublished.clear();
        }
        Ok(())
    }
}
