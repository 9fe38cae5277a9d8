//! A memberId and accounts of it.

use shared_events::MembershipId;
use shared_events::event::MemberStatus;

use super::account::Account;
use super::holder::Holder;

/// A holder with the open account and those of the memberships that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Whose.
    pub holder: Holder,
    /// At most one of them is open.
    pub accounts: Vec<Account>,
}

/// What a member's state did to the accounts.
#[derive(Debug, PartialEq, Eq)]
pub enum Followed<'a> {
    /// Nothing: it is not newer than what is known, or of a former membership.
    Stale,
    /// The account has the status.
    Changed(&'a mut Account),
    /// There is a new account that has the status.
    Opened(&'a mut Account),
}

impl Holding {
    /// The open account, and its holder, if a membership at this version of the member is a newer one.
    pub fn superseded_by(
        &mut self,
        membership_id: MembershipId,
        member_version: i64,
    ) -> Option<(&mut Holder, &mut Account)> {
        let is_known = self.accounts.iter().any(|account| account.membership_id == membership_id);
        if is_known || !self.holder.is_older_than(member_version) {
            return None;
        }
        let open = self.accounts.iter_mut().find(|account| account.is_open())?;
        Some((&mut self.holder, open))
    }

    /// Copies the member's status to the account of a membership, if it is newer than what is known. A newer membership
    /// gets an account: the open one that it [supersedes](Self::superseded_by) is closed before.
    pub fn follow_member(
        &mut self,
        membership_id: MembershipId,
        status: MemberStatus,
        version: i64,
    ) -> Followed<'_> {
        match self.accounts.iter().position(|account| account.membership_id == membership_id) {
            Some(index) => {
                let account = &mut self.accounts[index];
                if account.follow_member(status, version) {
                    Followed::Changed(account)
                } else {
                    Followed::Stale
                }
            }
            None if self.holder.is_older_than(version) => {
                let account = self.holder.open(membership_id, status, version);
                Followed::Opened(self.accounts.push_mut(account))
            }
            None => Followed::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use shared_events::MemberId;
    use uuid::Uuid;

    use super::*;

    fn holding() -> Holding {
        let member_id = MemberId::try_from(1).unwrap();
        Holding { holder: Holder { member_id, last_version: 0, member_version: 0 }, accounts: Vec::new() }
    }

    fn membership() -> MembershipId {
        MembershipId(Uuid::now_v7())
    }

    #[test]
    fn the_states_of_a_membership_open_an_account_and_change_it_as_long_as_they_are_newer() {
        let (mut holding, membership_id) = (holding(), membership());
        assert_eq!(holding.superseded_by(membership_id, 1), None);
        let opened = holding.follow_member(membership_id, MemberStatus::Ready, 1);
        assert!(matches!(opened, Followed::Opened(_)));
        assert_eq!(holding.superseded_by(membership_id, 2), None);
        let changed = holding.follow_member(membership_id, MemberStatus::Normal, 2);
        assert!(matches!(changed, Followed::Changed(_)));
        assert_eq!(holding.follow_member(membership_id, MemberStatus::Abnormal, 2), Followed::Stale);
        assert_eq!(holding.accounts.len(), 1);
        assert_eq!(holding.accounts[0].member_status(), Some(MemberStatus::Normal));
    }

    #[test]
    fn only_a_newer_membership_supersedes_the_open_account() {
        let (mut holding, current, other) = (holding(), membership(), membership());
        holding.follow_member(current, MemberStatus::Ready, 4);
        assert_eq!(holding.superseded_by(other, 4), None);
        assert_eq!(holding.follow_member(other, MemberStatus::Normal, 4), Followed::Stale);

        let (holder, former) = holding.superseded_by(other, 5).unwrap();
        former.forfeit().unwrap();
        holder.go_on_from(former);

        assert_eq!(holding.superseded_by(other, 5), None);
        let Followed::Opened(newer) = holding.follow_member(other, MemberStatus::Ready, 5) else {
            panic!("a newer membership gets an account")
        };
        assert_eq!(newer.version, 1);
        assert_eq!(holding.follow_member(current, MemberStatus::Normal, 9), Followed::Stale);
    }
}
