//! A group of forfeitures in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chassis::group_transaction::{GroupPerformed, Verdict};
use shared_events::delivery::{AfterCommit, outbox};
use shared_events::{MemberId, MembershipId};
use sqlx::PgConnection;

use super::{ForfeitError, Forfeitures, Request, close};
use crate::domain::{Account, Holder, Points};
use crate::store::{Origin, accounts, holders, lots};
use crate::usecase::Journal;
use crate::usecase::journal::empty_forfeiture;

/// Closes accounts.
pub(super) async fn forfeit_in_tx(
    tx: &mut PgConnection,
    requests: &[Request],
) -> sqlx::Result<GroupPerformed<Forfeitures>> {
    let members: BTreeSet<MemberId> = requests.iter().map(|request| request.member_id).collect();
    let holders = holders::lock_all_in_tx(tx, &members).await?;
    let mut holders: BTreeMap<MemberId, Holder> =
        holders.into_iter().map(|holder| (holder.member_id, holder)).collect();
    let mut accounts = lock_in_tx(tx, requests).await?;

    let mut after = AfterCommit::default();
    let mut journal = Journal::default();
    let mut closed: BTreeSet<MemberId> = BTreeSet::new();
    let mut has_written = false;
    let mut verdicts = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        let Request { member_id, membership_id, provenance, now } = request;
        let origin = Origin { provenance, cause: None, now: *now };
        let holder = holders.get_mut(member_id).ok_or(sqlx::Error::RowNotFound)?;
        verdicts.push(match accounts.get_mut(membership_id) {
            // Rare. Its holder, which may be new, must not be stored with what the others write: each is carried out alone.
            Some(Ok(account)) if account.member_id != *member_id && requests.len() > 1 => {
                return Err(sqlx::Error::Decode("a membership belongs to another member".into()));
            }
            Some(Ok(account)) if account.member_id != *member_id => {
                Verdict::Now(Err(ForfeitError::OtherMember))
            }
            Some(Ok(account)) => {
                if account.is_open() {
                    closed.insert(*member_id);
                }
                Verdict::Now(Ok(close(&mut journal, holder, account, origin)?))
            }
            Some(Err(broken)) => Verdict::Now(Err(ForfeitError::Database(Arc::clone(broken)))),
            // Rare. Its versions go on from what is stored, so it comes before all others.
            None if index == 0 => {
                let account = close_unheard_in_tx(tx, holder, *membership_id, origin).await?;
                accounts.insert(*membership_id, Ok(account));
                has_written = true;
                Verdict::Now(Ok(Points::ZERO))
            }
            None => Verdict::Later,
        });
    }
    if !closed.is_empty() {
        let closed: Vec<&Holder> = closed.iter().filter_map(|member_id| holders.get(member_id)).collect();
        holders::update_all_in_tx(tx, &closed).await?;
        journal.store_in_tx(tx, &mut after).await?;
        has_written = true;
    }
    Ok(GroupPerformed { verdicts, written: has_written.then_some(after) })
}

/// The accounts of the memberships, open or closed; the open ones with their lots.
async fn lock_in_tx(
    tx: &mut PgConnection,
    requests: &[Request],
) -> sqlx::Result<HashMap<MembershipId, Result<Account, Arc<sqlx::Error>>>> {
    let memberships: Vec<MembershipId> = requests.iter().map(|request| request.membership_id).collect();
    let accounts = accounts::lock_all_in_tx(tx, &BTreeSet::new(), &memberships).await?;
    let memberships: Vec<MembershipId> = accounts.iter().map(|account| account.membership_id).collect();
    let loaded = lots::load_all_in_tx(tx, accounts).await?.into_iter();
    let loaded = loaded.map(|loaded| loaded.map_err(|broken| Arc::new(sqlx::Error::Decode(broken.into()))));
    Ok(memberships.into_iter().zip(loaded).collect())
}

/// Closes the account of a membership that was never heard of, and publishes it.
async fn close_unheard_in_tx(
    tx: &mut PgConnection,
    holder: &mut Holder,
    membership_id: MembershipId,
    origin: Origin<'_>,
) -> sqlx::Result<Account> {
    if accounts::find_open(tx, holder.member_id).await?.is_some() {
        // Beside an open account it is a former membership, withdrawn before the open one joined. Nothing is
        // published, and so no version taken: it would become the newest record of the memberId, my page would
        // show a balance of 0, and the compacted log would have lost that of the open account.
        let former = Account::never_opened(holder.member_id, membership_id, holder.last_version);
        accounts::insert_all_in_tx(tx, &[(former.clone(), origin.now)]).await?;
        return Ok(former);
    }
    let account = holder.close_unheard(membership_id);
    holders::update_all_in_tx(tx, &[holder]).await?;
    accounts::insert_all_in_tx(tx, &[(account.clone(), origin.now)]).await?;
    outbox::append_all_in_tx(tx, &[empty_forfeiture(&account, origin)?]).await?;
    Ok(account)
}
