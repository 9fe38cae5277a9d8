//! The accounts that a batch of events is about.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;

use chrono::{DateTime, Utc};
use shared_events::delivery::AfterCommit;
use shared_events::{MemberId, MembershipId};
use sqlx::PgConnection;

use super::member_changed::MemberChanged;
use crate::domain::{Account, Holder, Holding};
use crate::store::{accounts, holders, lots};
use crate::usecase::Journal;

/// Holders and accounts that are locked, as the events so far have left them, and what of that is not stored yet.
#[derive(Default)]
pub(super) struct Holdings {
    holdings: BTreeMap<MemberId, Holding>,
    unsaved: Unsaved,
}

/// What is not stored yet.
#[derive(Default)]
pub(super) struct Unsaved {
    /// As they were when they were opened, and when that was. Of a memberId one at most: before the next one is opened, the
    /// former one is stored and closed.
    opened: Vec<(Account, DateTime<Utc>)>,
    /// What happened to accounts, also after their opening.
    pub(super) journal: Journal,
}

impl Unsaved {
    /// Notes an account that was opened just now.
    pub(super) fn note_opened(&mut self, account: &Account, now: DateTime<Utc>) {
        self.opened.push((account.clone(), now));
    }
}

impl Holdings {
    /// Locks the holders and then the accounts that the states are about. The accounts that change have their lots.
    pub(super) async fn lock_in_tx(
        tx: &mut PgConnection,
        changes: &[&MemberChanged<'_>],
    ) -> sqlx::Result<Self> {
        if changes.is_empty() {
            return Ok(Self::default());
        }
        let members: BTreeSet<MemberId> = changes.iter().map(|change| change.member.member_id).collect();
        let newest = newest_versions(changes);
        let memberships: Vec<MembershipId> = newest.keys().copied().collect();
        let holders = holders::lock_all_in_tx(tx, &members).await?;
        let with_no_account = |holder: Holder| (holder.member_id, Holding { holder, accounts: Vec::new() });
        let mut holdings: BTreeMap<MemberId, Holding> = holders.into_iter().map(with_no_account).collect();
        let accounts = accounts::lock_all_in_tx(tx, &members, &memberships).await?;
        let does_change = |account: &Account| {
            newest.get(&account.membership_id).is_some_and(|version| account.is_behind(*version))
        };
        let (changing, kept): (Vec<Account>, Vec<Account>) = accounts.into_iter().partition(does_change);
        let changing = lots::load_all_in_tx(tx, changing).await?.into_iter();
        let changing = changing.map(|loaded| loaded.map_err(|broken| sqlx::Error::Decode(broken.into())));
        for account in changing.chain(kept.into_iter().map(Ok)) {
            let account = account?;
            if let Some(holding) = holdings.get_mut(&account.member_id) {
                holding.accounts.push(account);
            }
        }
        Ok(Self { holdings, unsaved: Unsaved::default() })
    }

    /// The holding of a member that one of the states is about.
    pub(super) fn of(&mut self, member_id: MemberId) -> sqlx::Result<&mut Holding> {
        Ok(self.of_and_unsaved(member_id)?.0)
    }

    /// The same, and where to note what changes in it.
    pub(super) fn of_and_unsaved(
        &mut self,
        member_id: MemberId,
    ) -> sqlx::Result<(&mut Holding, &mut Unsaved)> {
        let holding = self.holdings.get_mut(&member_id).ok_or(sqlx::Error::RowNotFound)?;
        Ok((holding, &mut self.unsaved))
    }

    /// Stores and publishes what was noted so far.
    pub(super) async fn store_in_tx(
        &mut self,
        tx: &mut PgConnection,
        after: &mut AfterCommit,
    ) -> sqlx::Result<()> {
        let Unsaved { opened, journal } = mem::take(&mut self.unsaved);
        if !opened.is_empty() {
            let holding_of = |(account, _): &(Account, _)| self.holdings.get(&account.member_id);
            let holders: Vec<&Holder> =
                opened.iter().filter_map(holding_of).map(|holding| &holding.holder).collect();
            holders::update_all_in_tx(tx, &holders).await?;
            accounts::insert_all_in_tx(tx, &opened).await?;
        }
        journal.store_in_tx(tx, after).await?;
        Ok(())
    }
}

/// The newest version of the member that each membership is told of.
fn newest_versions(changes: &[&MemberChanged<'_>]) -> HashMap<MembershipId, i64> {
    let mut newest = HashMap::new();
    for change in changes {
        let version = newest.entry(change.member.membership_id).or_insert(i64::MIN);
        *version = change.version().max(*version);
    }
    newest
}
