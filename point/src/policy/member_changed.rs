//! Whenever a member's state is published: open the account if there is none, copy the status, and grant the
//! sign-up points to a NORMAL member that never had them.

use shared_events::Envelope;
use shared_events::delivery::{AfterCommit, Outcome};
use shared_events::event::MemberState;
use sqlx::PgConnection;

use crate::domain::Validity;
use crate::store::ledger::Remarks;
use crate::store::{Origin, accounts, holders, lots};
use crate::usecase::Journal;
use crate::usecase::forfeit_points::close_in_tx;

pub(super) async fn handle_in_tx(
    tx: &mut PgConnection,
    envelope: &Envelope,
    member: &MemberState,
    validity: &Validity,
    after: &mut AfterCommit,
) -> sqlx::Result<Outcome> {
    let origin = Origin { provenance: &envelope.provenance, cause: Some(envelope.id), now: envelope.time };
    let mut holder = holders::lock_in_tx(tx, member.member_id).await?;
    let mut account = match accounts::lock_in_tx(tx, member.member_id, member.membership_id).await? {
        Some(mut account) => {
            if !account.follow_member(member.member_status, envelope.sequence) {
                return Ok(Outcome::Stale);
            }
            lots::load_in_tx(tx, &mut account).await?;
            account
        }
        None if !holder.is_older_than(envelope.sequence) => return Ok(Outcome::Stale),
        None => {
            // A newer membership proves that the former one ended, whatever became of its forfeiture.
            if let Some(former) = accounts::lock_open_in_tx(tx, member.member_id).await? {
                close_in_tx(tx, &mut holder, former, origin, after).await?;
            }
            let account = holder.open(member.membership_id, member.member_status, envelope.sequence);
            holders::update_in_tx(tx, &holder).await?;
            accounts::insert_in_tx(tx, &account, origin.now).await?;
            account
        }
    };
    let valid_until = validity.of_earning(origin.now);
    match account.grant_signup(origin.now, valid_until) {
        Some(booking) => {
            let mut journal = Journal::default();
            journal.note(&mut account, booking, Remarks::default(), origin);
            journal.store_in_tx(tx, after).await?;
        }
        None => accounts::update_in_tx(tx, &account, origin.now).await?,
    }
    Ok(Outcome::Applied)
}
