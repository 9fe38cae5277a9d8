//! What my page does when something happens elsewhere: it shows it, if it is newer.

mod points_changed;

use std::collections::HashMap;
use std::time::Duration;

use shared_events::delivery::{AfterCommit, EventHandler, HandlerError, Outcome};
use shared_events::event::{MemberJoined, MemberState, MemberStatusChanged};
use shared_events::{Envelope, Event, MemberId};
use sqlx::PgConnection;

use crate::domain::{Half, MemberHalf, PageChanges, Shown};
use crate::store::pages::{self, FormerPoints};
use crate::store::transactions;

/// What is beyond the latest transactions of an account is taken off its page whenever it comes to a version that is a
/// multiple of this: to look for it costs more than to keep a few.
const PRUNE_EVERY: i64 = 10;

/// My page's policies.
#[derive(Clone, Copy, Debug)]
pub struct Policies;

impl EventHandler for Policies {
    /// Whoever has changed their points looks at the page next.
    fn pace(&self) -> Duration {
        Duration::from_millis(3)
    }

    async fn handle_all_in_tx(
        &self,
        tx: &mut PgConnection,
        events: Vec<(&Envelope, Event)>,
        _after: &mut AfterCommit,
    ) -> Result<Vec<Outcome>, HandlerError> {
        let mut changes = PageChanges::default();
        let halves: Vec<Option<Half>> =
            events.into_iter().map(|(envelope, event)| take(&mut changes, envelope, event)).collect();
        let members = pages::put_members_in_tx(tx, &changes.members()).await?;
        let points = put_points_in_tx(tx, &changes).await?;
        let outcome = |half| {
            let (former, version) = match half {
                Some(Half::Member(member_id, version)) => (members.get(&member_id).copied(), version),
                Some(Half::Point(member_id, version)) => {
                    (points.get(&member_id).map(|former| former.version), version)
                }
                None => return Outcome::Ignored,
            };
            if former.is_none_or(|former| former < version) { Outcome::Applied } else { Outcome::Stale }
        };
        Ok(halves.into_iter().map(outcome).collect())
    }
}

/// Puts point halves on the pages, with the transactions that these do not know yet. Returns what was there before.
async fn put_points_in_tx(
    tx: &mut PgConnection,
    changes: &PageChanges,
) -> sqlx::Result<HashMap<MemberId, FormerPoints>> {
    let halves = changes.points();
    let former = pages::put_points_in_tx(tx, &halves).await?;
    let (mut new, mut to_prune, mut closed) = (Vec::new(), Vec::new(), Vec::new());
    for (member_id, half) in halves {
        let known = former.get(&member_id);
        let is_new = |version: i64| known.is_none_or(|known| known.version < version);
        if half.is_closed && is_new(half.version) {
            closed.push(member_id);
        }
        let own: Vec<_> = half.transactions.iter().filter(|(version, _)| is_new(*version)).collect();
        let former_membership = known.and_then(|known| known.membership_id);
        let is_former_left = former_membership.is_some_and(|former| former != half.membership_id);
        if is_former_left && !own.is_empty() || own.iter().any(|(version, _)| version % PRUNE_EVERY == 0) {
            to_prune.push(member_id);
        }
        new.extend(own.iter().map(|(_, transaction)| (member_id, half.membership_id, transaction)));
    }
    if !closed.is_empty() {
        transactions::clear_in_tx(tx, &closed).await?;
    }
    if !new.is_empty() {
        transactions::add_in_tx(tx, &new).await?;
    }
    if !to_prune.is_empty() {
        transactions::prune_in_tx(tx, &to_prune).await?;
    }
    Ok(former)
}

/// Adds what an event says of a page to the changes; `None` where it says nothing.
fn take(changes: &mut PageChanges, envelope: &Envelope, event: Event) -> Option<Half> {
    let (member_id, version) = (envelope.member_id, envelope.sequence);
    let member_half = |membership_id, shown| MemberHalf { version, membership_id, shown };
    let half = match event {
        Event::MemberJoined(MemberJoined(state)) | Event::MemberStatusChanged(MemberStatusChanged(state)) => {
            let MemberState { membership_id, phone_no, nickname, member_status, .. } = state;
            member_half(membership_id, Some(Shown { phone_no, nickname, member_status }))
        }
        Event::MemberWithdrawn(event) => member_half(event.membership_id, None),
        event => {
            return points_changed::half_of(event, version).map(|half| changes.take_point(member_id, half));
        }
    };
    Some(changes.take_member(member_id, half))
}
