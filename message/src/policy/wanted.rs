//! Notifications that events ask for, queued together.

use std::mem;

use chrono::{DateTime, Utc};
use shared_events::delivery::Outcome;
use shared_events::event::PointsExpiring;
use shared_events::{Envelope, MembershipId};
use sqlx::PgConnection;

use super::points_expiring;
use crate::store::queueing::{self, NewMessage};

/// What is to be queued, each with where the outcome of its event is noted. Welcomes come before notices.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    welcomes: Vec<(NewMessage<'a>, &'a mut Outcome)>,
    notices: Vec<(&'a Envelope, PointsExpiring, &'a mut Outcome)>,
}

impl<'a> Wanted<'a> {
    /// Adds a welcome.
    pub(super) fn add_welcome(&mut self, welcome: NewMessage<'a>, outcome: &'a mut Outcome) {
        self.welcomes.push((welcome, outcome));
    }

    /// Adds a notice.
    pub(super) fn add_notice(
        &mut self,
        envelope: &'a Envelope,
        expiring: PointsExpiring,
        outcome: &'a mut Outcome,
    ) {
        self.notices.push((envelope, expiring, outcome));
    }

    /// Whether there is a notice of a membership.
    pub(super) fn has_notice_of(&self, membership_id: MembershipId) -> bool {
        self.notices.iter().any(|(_, expiring, _)| expiring.membership_id == membership_id)
    }

    /// Whether there is anything of a membership.
    pub(super) fn has_any_of(&self, membership_id: MembershipId) -> bool {
        let mut welcomes = self.welcomes.iter();
        welcomes.any(|(welcome, _)| welcome.membership_id == membership_id)
            || self.has_notice_of(membership_id)
    }

    /// Queues it all, and notes what that came to.
    pub(super) async fn queue_in_tx(
        &mut self,
        tx: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let welcomes = mem::take(&mut self.welcomes);
        queue_in_tx(tx, welcomes, now).await?;
        let notices = addressed_in_tx(tx, mem::take(&mut self.notices)).await?;
        queue_in_tx(tx, notices, now).await
    }
}

/// Notices with the numbers that they go to; those without one are ignored.
async fn addressed_in_tx<'a>(
    tx: &mut PgConnection,
    notices: Vec<(&'a Envelope, PointsExpiring, &'a mut Outcome)>,
) -> sqlx::Result<Vec<(NewMessage<'a>, &'a mut Outcome)>> {
    if notices.is_empty() {
        return Ok(Vec::new());
    }
    let membership_ids: Vec<_> = notices.iter().map(|(_, expiring, _)| expiring.membership_id).collect();
    let phone_nos = queueing::phone_nos_in_tx(tx, &membership_ids).await?;
    let addressed = notices.into_iter().filter_map(|(envelope, expiring, outcome)| {
        let phone_no = phone_nos.get(&expiring.membership_id)?.clone();
        Some((points_expiring::notice(envelope, &expiring, phone_no), outcome))
    });
    Ok(addressed.collect())
}

async fn queue_in_tx(
    tx: &mut PgConnection,
    wanted: Vec<(NewMessage<'_>, &mut Outcome)>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let (messages, outcomes): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
    let queued = queueing::queue_all_in_tx(tx, &messages, now).await?;
    for (outcome, is_queued) in outcomes.into_iter().zip(queued) {
        *outcome = if is_queued { Outcome::Applied } else { Outcome::AlreadyApplied };
    }
    Ok(())
}
