//! What outlives the accounts of a memberId.

use shared_events::event::MemberStatus;
use shared_events::{MemberId, MembershipId};

use super::account::Account;

/// Whose the accounts are, one per membership: where their versions go on, and which membership is newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Whose.
    pub member_id: MemberId,
    /// The version of the last account that was closed, 0 before. An open account counts on from it by itself.
    pub last_version: i64,
    /// The version of the member that opened the newest account, 0 before.
    pub member_version: i64,
}

impl Holder {
    /// Whether a version of the member, told of a membership that has no account, is of a newer one than all that
    /// have. The versions of one membership are all above those of the memberships before it.
    #[must_use]
    pub const fn is_older_than(&self, member_version: i64) -> bool {
        member_version > self.member_version
    }

    /// Opens the account of a newer membership. The account before it is closed.
    pub fn open(
        &mut self,
        membership_id: MembershipId,
        member_status: MemberStatus,
        member_version: i64,
    ) -> Account {
        self.member_version = member_version;
        Account::open(self.member_id, membership_id, member_status, member_version, self.last_version)
    }

    /// Goes on from the version of an account that was closed.
    pub const fn go_on_from(&mut self, closed: &Account) {
        self.last_version = closed.version;
    }

    /// Closes the account of a membership that was never heard of: a change of its own, so it takes a version.
    pub fn close_unheard(&mut self, membership_id: MembershipId) -> Account {
        self.last_version += 1;
        Account::never_opened(self.member_id, membership_id, self.last_version)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{AccountState, Points};

    fn holder() -> Holder {
        Holder { member_id: MemberId::try_from(1).unwrap(), last_version: 0, member_version: 0 }
    }

    fn membership() -> MembershipId {
        MembershipId(Uuid::now_v7())
    }

    #[test]
    fn versions_go_on_from_one_account_to_the_next() {
        let mut holder = holder();
        let mut former = holder.open(membership(), MemberStatus::Normal, 2);
        former.grant_signup(DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH).unwrap();
        former.forfeit().unwrap();
        holder.go_on_from(&former);
        let unheard = holder.close_unheard(membership());
        let mut current = holder.open(membership(), MemberStatus::Normal, 8);
        current.grant_signup(DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH).unwrap();
        assert_eq!((former.version, unheard.version, current.version), (2, 3, 4));
    }

    #[test]
    fn only_a_version_above_that_of_the_newest_account_is_of_a_newer_membership() {
        let mut holder = holder();
        assert!(holder.is_older_than(1));
        holder.open(membership(), MemberStatus::Ready, 4);
        assert!(!holder.is_older_than(3));
        assert!(!holder.is_older_than(4));
        assert!(holder.is_older_than(5));
    }

    #[test]
    fn a_membership_that_was_never_heard_of_has_a_closed_account_with_nothing_forfeited() {
        let mut account = holder().close_unheard(membership());
        assert_eq!(account.state, AccountState::Closed { forfeited: Points::ZERO });
        assert_eq!(account.forfeit(), None);
        assert_eq!(account.forfeited(), Points::ZERO);
    }
}
