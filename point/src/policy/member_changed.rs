//! Whenever a member's state is published: open the account if there is none, copy the status, and grant the
//! sign-up points to a NORMAL member that never had them.

use shared_events::delivery::{AfterCommit, Outcome};
use shared_events::event::{MemberJoined, MemberState, MemberStatusChanged};
use shared_events::{Envelope, Event};
use sqlx::PgConnection;

use super::holdings::Holdings;
use crate::domain::{Followed, Validity};
use crate::store::Origin;
use crate::store::ledger::Remarks;
use crate::usecase::forfeit_points::close_in_tx;

/// A member's state, as it was published.
pub(super) struct MemberChanged<'a> {
    envelope: &'a Envelope,
    pub(super) member: MemberState,
}

impl<'a> MemberChanged<'a> {
    /// `None` where the event is about something else.
    pub(super) fn new(envelope: &'a Envelope, event: Event) -> Option<Self> {
        match event {
            Event::MemberJoined(MemberJoined(member))
            | Event::MemberStatusChanged(MemberStatusChanged(member)) => Some(Self { envelope, member }),
            _ => None,
        }
    }

    /// The version of the member.
    pub(super) const fn version(&self) -> i64 {
        self.envelope.sequence
    }

    /// Handles it with holdings that are locked. What it leaves of them is not stored yet.
    pub(super) async fn handle_in_tx(
        &self,
        tx: &mut PgConnection,
        holdings: &mut Holdings,
        validity: &Validity,
        after: &mut AfterCommit,
    ) -> sqlx::Result<Outcome> {
        self.close_former_in_tx(tx, holdings, after).await?;
        self.follow(holdings, validity)
    }

    /// A newer membership proves that the former one ended, whatever became of its forfeiture.
    async fn close_former_in_tx(
        &self,
        tx: &mut PgConnection,
        holdings: &mut Holdings,
        after: &mut AfterCommit,
    ) -> sqlx::Result<()> {
        let MemberState { member_id, membership_id, .. } = self.member;
        if holdings.of(member_id)?.superseded_by(membership_id, self.version()).is_none() {
            return Ok(());
        }
        // Rare. Its lots are read with the ids that they are stored with, and of a memberId one account at most is open.
        holdings.store_in_tx(tx, after).await?;
        if let Some((holder, former)) = holdings.of(member_id)?.superseded_by(membership_id, self.version()) {
            close_in_tx(tx, holder, former, self.origin(), after).await?;
        }
        Ok(())
    }

    fn follow(&self, holdings: &mut Holdings, validity: &Validity) -> sqlx::Result<Outcome> {
        let MemberState { member_id, membership_id, member_status, .. } = self.member;
        let origin = self.origin();
        let (holding, unsaved) = holdings.of_and_unsaved(member_id)?;
        let (account, is_new) = match holding.follow_member(membership_id, member_status, self.version()) {
            Followed::Stale => return Ok(Outcome::Stale),
            Followed::Changed(account) => (account, false),
            Followed::Opened(account) => (account, true),
        };
        if is_new {
            unsaved.note_opened(account, origin.now);
        }
        match account.grant_signup(origin.now, validity.of_earning(origin.now)) {
            Some(booking) => unsaved.journal.note(account, booking, Remarks::default(), origin),
            None if is_new => {}
            None => unsaved.journal.note_unbooked(account, origin.now),
        }
        Ok(Outcome::Applied)
    }

    const fn origin(&self) -> Origin<'_> {
        let Envelope { ref provenance, id, time, .. } = *self.envelope;
        Origin { provenance, cause: Some(id), now: time }
    }
}
