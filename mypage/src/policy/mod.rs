//! What my page does when something happens elsewhere: it shows it, if it is newer.

mod points_changed;

use std::collections::HashMap;
use std::time::Duration;

use shared_events::delivery::{AfterCommit, EventHandler, HandlerError, Outcome};
use shared_events::event::{MemberJoined, MemberState, MemberStatusChanged};
use shared_events::{Envelope, Event, MemberId};
use sqlx::PgConnection;

use crate::domain::{Half, MemberHalf, PageChanges, Shown};
use crate::store::{pages, transactions};

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
                Some(Half::Member(member_id, version)) => (members.get(&member_id), version),
                Some(Half::Point(member_id, version)) => (points.get(&member_id), version),
                None => return Outcome::Ignored,
            };
            if former.is_none_or(|former| *former < version) { Outcome::Applied } else { Outcome::Stale }
        };
        Ok(halves.into_iter().map(outcome).collect())
    }
}

/// Puts point halves on the pages, with the transactions that these do not know yet. Returns the versions before it.
async fn put_points_in_tx(
    tx: &mut PgConnection,
    changes: &PageChanges,
) -> sqlx::Result<HashMap<MemberId, i64>> {
    let halves = changes.points();
    let former = pages::put_points_in_tx(tx, &halves).await?;
    let is_newer =
        |member_id: &MemberId, version: i64| former.get(member_id).is_none_or(|former| *former < version);
    let closed =
        halves.iter().filter(|(member_id, half)| half.is_closed && is_newer(member_id, half.version));
    let closed: Vec<MemberId> = closed.map(|(member_id, _)| *member_id).collect();
    if !closed.is_empty() {
        transactions::clear_in_tx(tx, &closed).await?;
    }
    let all = halves.iter().flat_map(|(member_id, half)| {
        half.transactions.iter().map(move |(version, own)| (*member_id, half.membership_id, *version, own))
    });
    let new = all.filter(|(member_id, _, version, _)| is_newer(member_id, *version));
    let new: Vec<_> = new.map(|(member_id, membership_id, _, own)| (member_id, membership_id, own)).collect();
    if !new.is_empty() {
        transactions::add_in_tx(tx, &new).await?;
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
