//! A membership's point account and what may happen to it.

use shared_events::event::MemberStatus;
use shared_events::{MemberId, MembershipId};

use super::change::PointChange;
use super::entry::{EntryType, LedgerEntry};
use super::points::{PointOverflow, Points};

/// An account: open from the first event of its membership until the forfeiture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose it is.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// The balance: the sum of the ledger's entries.
    pub balance: Points,
    /// Counts up with every change that is published, across the accounts of a memberId.
    pub version: i64,
    /// Open or closed.
    pub state: AccountState,
}

/// Whether an account is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// Points can be earned and used while the member is NORMAL.
    Open {
        /// A copy of the member's status.
        member_status: MemberStatus,
        /// The member's version that the status was copied from.
        member_version: i64,
        /// Whether the sign-up points have been granted.
        signup_granted: bool,
    },
    /// Closed for ever: absorbs everything.
    Closed {
        /// What was forfeited.
        forfeited: Points,
    },
}

/// Why a change was refused. The account is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// The account is closed: to clients there is none.
    #[error("the account is closed")]
    Closed,
    /// Only NORMAL members earn and use.
    #[error("the member is {0}, not NORMAL")]
    MemberNotNormal(MemberStatus),
    /// A use of more than remains.
    #[error("{asked} points were asked for but only {remaining} remain")]
    InsufficientPoints {
        /// What was to be used.
        asked: Points,
        /// The balance.
        remaining: Points,
    },
    /// An earning that would take the balance above 2^53−1.
    #[error("the balance would be too large")]
    BalanceOverflow,
}

impl Account {
    /// A new account with nothing on it.
    #[must_use]
    pub const fn open(
        member_id: MemberId,
        membership_id: MembershipId,
        member_status: MemberStatus,
        member_version: i64,
        version: i64,
    ) -> Self {
        let state = AccountState::Open { member_status, member_version, signup_granted: false };
        Self { member_id, membership_id, balance: Points::ZERO, version, state }
    }

    /// The account of a membership that ended before anything was heard of it: closed from the start, so that
    /// nothing that arrives later can open one.
    #[must_use]
    pub const fn never_opened(member_id: MemberId, membership_id: MembershipId, version: i64) -> Self {
        let state = AccountState::Closed { forfeited: Points::ZERO };
        Self { member_id, membership_id, balance: Points::ZERO, version, state }
    }

    /// What was forfeited at the closing; nothing while the account is open.
    #[must_use]
    pub const fn forfeited(&self) -> Points {
        match self.state {
            AccountState::Open { .. } => Points::ZERO,
            AccountState::Closed { forfeited } => forfeited,
        }
    }

    /// Earns or uses points.
    ///
    /// # Errors
    /// [`ChangeRefused`]
    pub fn change(&mut self, change: PointChange) -> Result<LedgerEntry, ChangeRefused> {
        match self.state {
            AccountState::Closed { .. } => return Err(ChangeRefused::Closed),
            AccountState::Open { member_status, .. } if member_status != MemberStatus::Normal => {
                return Err(ChangeRefused::MemberNotNormal(member_status));
            }
            AccountState::Open { .. } => {}
        }
        match change {
            PointChange::Earn(amount) => {
                self.credit(EntryType::Earn, amount).map_err(|PointOverflow| ChangeRefused::BalanceOverflow)
            }
            PointChange::Use(amount) => self.debit(EntryType::Use, amount).map_err(|PointOverflow| {
                ChangeRefused::InsufficientPoints { asked: amount, remaining: self.balance }
            }),
        }
    }

    /// Copies the member's status, if it is newer than what is known. Says whether it was.
    pub fn follow_member(&mut self, status: MemberStatus, version: i64) -> bool {
        match &mut self.state {
            AccountState::Open { member_status, member_version, .. } if version > *member_version => {
                *member_status = status;
                *member_version = version;
                true
            }
            AccountState::Open { .. } | AccountState::Closed { .. } => false,
        }
    }

    /// Grants the sign-up points to a NORMAL member that never had them.
    pub fn grant_signup(&mut self) -> Option<LedgerEntry> {
        let AccountState::Open { member_status: MemberStatus::Normal, signup_granted, .. } = &mut self.state
        else {
            return None;
        };
        if std::mem::replace(signup_granted, true) {
            return None;
        }
        let granted = self.credit(EntryType::Signup, Points::SIGNUP);
        Some(
            granted.expect(
                "only NORMAL members earn and they are granted in the same step, so the balance is 0",
            ),
        )
    }

    /// Closes the account. What is left is forfeited; with nothing left there is no entry.
    /// `None` when it was closed before.
    pub fn forfeit(&mut self) -> Option<Forfeiture> {
        if let AccountState::Closed { .. } = self.state {
            return None;
        }
        let forfeited = self.balance;
        let entry = (forfeited > Points::ZERO).then_some(LedgerEntry {
            entry_type: EntryType::Forfeit,
            amount: forfeited,
            balance_after: Points::ZERO,
        });
        self.balance = Points::ZERO;
        self.version += 1;
        self.state = AccountState::Closed { forfeited };
        Some(Forfeiture { forfeited, entry })
    }

    fn credit(&mut self, entry_type: EntryType, amount: Points) -> Result<LedgerEntry, PointOverflow> {
        self.book(entry_type, amount, self.balance.checked_add(amount)?)
    }

    fn debit(&mut self, entry_type: EntryType, amount: Points) -> Result<LedgerEntry, PointOverflow> {
        self.book(entry_type, amount, self.balance.checked_sub(amount)?)
    }

    fn book(
        &mut self,
        entry_type: EntryType,
        amount: Points,
        balance_after: Points,
    ) -> Result<LedgerEntry, PointOverflow> {
        self.balance = balance_after;
        self.version += 1;
        Ok(LedgerEntry { entry_type, amount, balance_after })
    }
}

/// A closing, and the ledger entry for what was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forfeiture {
    /// What was forfeited, possibly nothing.
    pub forfeited: Points,
    /// The entry for it.
    pub entry: Option<LedgerEntry>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn account(member_status: MemberStatus) -> Account {
        let member_id = MemberId::try_from(1).unwrap();
        Account::open(member_id, MembershipId(Uuid::nil()), member_status, 1, 0)
    }

    fn points(number: i64) -> Points {
        number.try_into().unwrap()
    }

    #[test]
    fn the_signup_points_are_granted_once_and_only_to_a_normal_member() {
        let mut account = account(MemberStatus::Ready);
        assert_eq!(account.grant_signup(), None);
        assert!(account.follow_member(MemberStatus::Normal, 2));
        assert_eq!(account.grant_signup().unwrap().balance_after, points(1_000));
        assert_eq!(account.grant_signup(), None);
        assert_eq!(account.balance, points(1_000));
    }

    #[test]
    fn a_status_that_is_not_newer_changes_nothing() {
        let mut account = account(MemberStatus::Normal);
        assert!(!account.follow_member(MemberStatus::Ready, 1));
        assert!(account.change(PointChange::Earn(points(1))).is_ok());
    }

    #[test]
    fn only_normal_members_earn_and_use() {
        for status in [MemberStatus::Ready, MemberStatus::Abnormal] {
            for change in [PointChange::Earn(points(1)), PointChange::Use(points(1))] {
                let mut account = account(status);
                assert_eq!(account.change(change), Err(ChangeRefused::MemberNotNormal(status)));
            }
        }
    }

    #[test]
    fn using_more_than_remains_is_refused_and_using_all_is_not() {
        let mut account = account(MemberStatus::Normal);
        account.change(PointChange::Earn(points(10))).unwrap();
        assert_eq!(
            account.change(PointChange::Use(points(11))),
            Err(ChangeRefused::InsufficientPoints { asked: points(11), remaining: points(10) })
        );
        assert_eq!(account.change(PointChange::Use(points(10))).unwrap().balance_after, Points::ZERO);
    }

    #[test]
    fn the_balance_cannot_pass_2_to_the_53_minus_1() {
        let mut account = account(MemberStatus::Normal);
        account.change(PointChange::Earn(Points::MAX)).unwrap();
        assert_eq!(account.change(PointChange::Earn(points(1))), Err(ChangeRefused::BalanceOverflow));
        assert_eq!(account.balance, Points::MAX);
    }

    #[test]
    fn a_closed_account_absorbs_everything() {
        let mut account = account(MemberStatus::Normal);
        account.change(PointChange::Earn(points(7))).unwrap();
        let forfeiture = account.forfeit().unwrap();
        assert_eq!(forfeiture.forfeited, points(7));
        let closed = account.clone();
        assert_eq!(account.forfeit(), None);
        assert_eq!(account.forfeited(), points(7));
        assert_eq!(account.change(PointChange::Earn(points(1))), Err(ChangeRefused::Closed));
        assert!(!account.follow_member(MemberStatus::Normal, 9));
        assert_eq!(account.grant_signup(), None);
        assert_eq!(account, closed);
    }

    #[test]
    fn nothing_left_is_forfeited_without_an_entry() {
        assert_eq!(
            account(MemberStatus::Abnormal).forfeit(),
            Some(Forfeiture { forfeited: Points::ZERO, entry: None })
        );
    }

    proptest! {
        #[test]
        fn the_balance_is_the_sum_of_the_entries_and_each_entry_raises_the_version(
            changes in prop::collection::vec(-2_000_i64..2_000, 0..60),
        ) {
            let mut account = account(MemberStatus::Normal);
            let mut sum = account.grant_signup().unwrap().signed_amount();
            for require_point in changes {
                let before = account.clone();
                match PointChange::from_require_point(require_point).map(|change| account.change(change)) {
                    Ok(Ok(entry)) => {
                        sum += entry.signed_amount();
                        prop_assert_eq!(entry.signed_amount(), require_point);
                        prop_assert_eq!(entry.balance_after, account.balance);
                        prop_assert_eq!(account.version, before.version + 1);
                    }
                    Ok(Err(_)) | Err(_) => prop_assert_eq!(&account, &before),
                }
                prop_assert_eq!(account.balance.get(), sum);
            }
            let forfeiture = account.forfeit().unwrap();
            prop_assert_eq!(forfeiture.forfeited.get(), sum);
            prop_assert_eq!(sum + forfeiture.entry.map_or(0, |entry| entry.signed_amount()), 0);
        }
    }
}
