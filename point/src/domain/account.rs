//! A membership's point account and what may happen to it.

use chrono::{DateTime, TimeDelta, Utc};
use shared_events::event::MemberStatus;
use shared_events::{MemberId, MembershipId};

use super::change::PointChange;
use super::entry::{Booking, EntryType, LotChange, LotId, NewLot, TransactionId};
use super::lot::Lots;
use super::points::Points;

/// Farthest expiry of an earning.
const LONGEST_VALIDITY: TimeDelta = TimeDelta::days(101 * 366);
/// So many lots with points left an account can have before it refuses to earn: every command reads them, and those who earn
/// thrice a day and never use have half as many after 60 months.
pub const MOST_OPEN_LOTS: usize = 10_000;

/// An account: open from the first event of its membership until the forfeiture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose it is.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// The balance: the sum of the ledger's entries, and of what is left of the lots.
    pub balance: Points,
    /// Counts up with every change that is published, across the accounts of a memberId.
    pub version: i64,
    /// Open or closed.
    pub state: AccountState,
    /// The lots that have points left; to the expiry job, those of them that it takes.
    pub lots: Lots,
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
    /// What is earned would expire at once, or not within 100 years.
    #[error("must be in the future, and within 100 years")]
    BadExpiry,
    /// What is earned would be one lot too many.
    #[error(
        "the account has {MOST_OPEN_LOTS} lots with points left and can have no more until some are used"
    )]
    TooManyLots,
    /// Points that would take the balance above 2^53−1.
    #[error("the balance would be too large")]
    BalanceOverflow,
}

impl Account {
    /// A new account with nothing on it.
    #[must_use]
    pub fn open(
        member_id: MemberId,
        membership_id: MembershipId,
        member_status: MemberStatus,
        member_version: i64,
        version: i64,
    ) -> Self {
        let state = AccountState::Open { member_status, member_version, signup_granted: false };
        Self { member_id, membership_id, balance: Points::ZERO, version, state, lots: Lots::default() }
    }

    /// The account of a membership that ended before anything was heard of it: closed from the start, so that
    /// nothing that arrives later can open one.
    #[must_use]
    pub fn never_opened(member_id: MemberId, membership_id: MembershipId, version: i64) -> Self {
        let state = AccountState::Closed { forfeited: Points::ZERO };
        Self { member_id, membership_id, balance: Points::ZERO, version, state, lots: Lots::default() }
    }

    /// What was forfeited at the closing; nothing while the account is open.
    #[must_use]
    pub const fn forfeited(&self) -> Points {
        match self.state {
            AccountState::Open { .. } => Points::ZERO,
            AccountState::Closed { forfeited } => forfeited,
        }
    }

    /// The member's status; nothing once the account is closed.
    #[must_use]
    pub const fn member_status(&self) -> Option<MemberStatus> {
        match self.state {
            AccountState::Open { member_status, .. } => Some(member_status),
            AccountState::Closed { .. } => None,
        }
    }

    /// Earns or uses points; what is earned is valid until `expires_at`.
    ///
    /// # Errors
    /// [`ChangeRefused`]
    pub fn change(
        &mut self,
        change: PointChange,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Booking, ChangeRefused> {
        match self.state {
            AccountState::Closed { .. } => return Err(ChangeRefused::Closed),
            AccountState::Open { member_status, .. } if member_status != MemberStatus::Normal => {
                return Err(ChangeRefused::MemberNotNormal(member_status));
            }
            AccountState::Open { .. } => {}
        }
        match change {
            PointChange::Earn(_) if expires_at <= now || expires_at - now > LONGEST_VALIDITY => {
                Err(ChangeRefused::BadExpiry)
            }
            PointChange::Earn(_) if self.has_most_lots() => Err(ChangeRefused::TooManyLots),
            PointChange::Earn(amount) => self.credit(EntryType::Earn, amount, now, expires_at),
            PointChange::Use(amount) => self.debit(EntryType::Use, amount),
        }
    }

    /// Puts a balance right, whatever the member's status: positive makes a lot, negative burns.
    ///
    /// # Errors
    /// [`ChangeRefused`]
    pub fn adjust(
        &mut self,
        change: PointChange,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Booking, ChangeRefused> {
        if let AccountState::Closed { .. } = self.state {
            return Err(ChangeRefused::Closed);
        }
        match change {
            PointChange::Earn(_) if self.has_most_lots() => Err(ChangeRefused::TooManyLots),
            PointChange::Earn(amount) => self.credit(EntryType::Adjust, amount, now, expires_at),
            PointChange::Use(amount) => self.debit(EntryType::Adjust, amount),
        }
    }

    /// Whether it is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, AccountState::Open { .. })
    }

    /// Whether a status at this version of the member is newer than what is known. Nothing is to a closed account.
    #[must_use]
    pub const fn is_behind(&self, version: i64) -> bool {
        matches!(self.state, AccountState::Open { member_version, .. } if version > member_version)
    }

    /// Copies the member's status, if it is newer than what is known. Says whether it was.
    pub fn follow_member(&mut self, status: MemberStatus, version: i64) -> bool {
        let is_newer = self.is_behind(version);
        if let AccountState::Open { member_status, member_version, .. } = &mut self.state
            && is_newer
        {
            (*member_status, *member_version) = (status, version);
        }
        is_newer
    }

    /// Grants the sign-up points to a NORMAL member that never had them.
    pub fn grant_signup(&mut self, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> Option<Booking> {
        let AccountState::Open { member_status: MemberStatus::Normal, signup_granted, .. } = &mut self.state
        else {
            return None;
        };
        if std::mem::replace(signup_granted, true) {
            return None;
        }
        // An operator's adjustment may have come first; no balance that is near the limit is from those.
        self.credit(EntryType::Signup, Points::SIGNUP, now, expires_at).ok()
    }

    /// Takes what is no longer valid. `None` when nothing is due.
    pub fn expire(&mut self, now: DateTime<Utc>) -> Option<Booking> {
        let changes = self.lots.expire(now);
        (!changes.is_empty()).then(|| self.book(EntryType::Expire, None, changes, Vec::new()))
    }

    /// How many points may be used now: what is no longer valid does not count, whether or not it was taken yet.
    #[must_use]
    pub fn usable(&self, now: DateTime<Utc>) -> i64 {
        let expired = self.lots.iter().take_while(|lot| !lot.is_valid(now));
        self.balance.get() - expired.map(|lot| lot.remaining.get()).sum::<i64>()
    }

    /// How many points expire within `period`.
    #[must_use]
    pub fn expiring(&self, now: DateTime<Utc>, period: TimeDelta) -> i64 {
        let due = self.lots.iter().filter(|lot| lot.is_valid(now) && lot.expires_at <= now + period);
        due.map(|lot| lot.remaining.get()).sum()
    }

    /// Closes the account. What is left is forfeited; with nothing left there is no entry.
    /// `None` when it was closed before.
    pub fn forfeit(&mut self) -> Option<Forfeiture> {
        if let AccountState::Closed { .. } = self.state {
            return None;
        }
        let forfeited = self.balance;
        let lot_changes = self.lots.burn_all();
        self.balance = Points::ZERO;
        self.version += 1;
        let booking = (forfeited > Points::ZERO).then(|| Booking {
            entry_type: EntryType::Forfeit,
            amount: -forfeited.get(),
            balance_after: Points::ZERO,
            refers_to: None,
            lot_changes,
            new_lots: Vec::new(),
        });
        self.state = AccountState::Closed { forfeited };
        Some(Forfeiture { forfeited, booking })
    }

    /// Takes in the lots of a booking, under their ids.
    pub fn add_lots(&mut self, new_lots: &[NewLot], lot_ids: &[LotId]) {
        let given = new_lots.iter().zip(lot_ids).map(|(new, lot_id)| LotChange {
            lot_id: *lot_id,
            amount: new.amount.get(),
            expires_at: new.expires_at,
        });
        self.lots.give_back(&given.collect::<Vec<_>>());
    }

    /// Whether it should not get another lot.
    pub(super) fn has_most_lots(&self) -> bool {
        self.lots.iter().len() >= MOST_OPEN_LOTS
    }

    fn credit(
        &mut self,
        entry_type: EntryType,
        amount: Points,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Booking, ChangeRefused> {
        self.balance.checked_add(amount).map_err(|_| ChangeRefused::BalanceOverflow)?;
        let lot = NewLot { amount, earned_at: now, expires_at, replaces: None };
        Ok(self.book(entry_type, None, Vec::new(), vec![lot]))
    }

    fn debit(&mut self, entry_type: EntryType, amount: Points) -> Result<Booking, ChangeRefused> {
        let remaining = self.balance;
        let changes = self.lots.burn(amount, &[]);
        let changes = changes.ok_or(ChangeRefused::InsufficientPoints { asked: amount, remaining })?;
        Ok(self.book(entry_type, None, changes, Vec::new()))
    }

    /// Changes the balance by what became of the lots.
    pub(super) fn book(
        &mut self,
        entry_type: EntryType,
        refers_to: Option<TransactionId>,
        lot_changes: Vec<LotChange>,
        new_lots: Vec<NewLot>,
    ) -> Booking {
        let changed: i64 = lot_changes.iter().map(|change| change.amount).sum();
        let amount = changed + new_lots.iter().map(|lot| lot.amount.get()).sum::<i64>();
        let balance_after = Points::try_from(self.balance.get() + amount);
        self.balance =
            balance_after.expect("the lots have no more than the balance, and a credit was checked");
        self.version += 1;
        Booking { entry_type, amount, balance_after: self.balance, refers_to, lot_changes, new_lots }
    }
}

/// A closing, and what is written down of what was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forfeiture {
    /// What was forfeited, possibly nothing.
    pub forfeited: Points,
    /// The entry for it.
    pub booking: Option<Booking>,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::Lot;

    const NEVER: DateTime<Utc> = DateTime::from_timestamp_nanos(3_000_000_000_000_000_000);

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn account(member_status: MemberStatus) -> Account {
        let member_id = MemberId::try_from(1).unwrap();
        Account::open(member_id, MembershipId(Uuid::nil()), member_status, 1, 0)
    }

    fn points(number: i64) -> Points {
        number.try_into().unwrap()
    }

    /// Changes an account, and lets its new lots have ids from 100 on by the version.
    fn change(account: &mut Account, require_point: i64) -> Result<Booking, ChangeRefused> {
        let change = PointChange::from_require_point(require_point).unwrap();
        let booking = account.change(change, now(), NEVER)?;
        account.add_lots(&booking.new_lots, &[100 + account.version]);
        Ok(booking)
    }

    #[test]
    fn the_signup_points_are_granted_once_and_only_to_a_normal_member() {
        let mut account = account(MemberStatus::Ready);
        assert_eq!(account.grant_signup(now(), NEVER), None);
        assert!(account.follow_member(MemberStatus::Normal, 2));
        let booking = account.grant_signup(now(), NEVER).unwrap();
        assert_eq!((booking.amount, booking.balance_after), (1_000, points(1_000)));
        assert_eq!(account.grant_signup(now(), NEVER), None);
        assert_eq!(account.balance, points(1_000));
    }

    #[test]
    fn a_status_that_is_not_newer_changes_nothing() {
        let mut account = account(MemberStatus::Normal);
        assert!(!account.follow_member(MemberStatus::Ready, 1));
        assert!(change(&mut account, 1).is_ok());
    }

    #[test]
    fn only_normal_members_earn_and_use_and_any_balance_can_be_adjusted() {
        for status in [MemberStatus::Ready, MemberStatus::Abnormal] {
            let mut account = account(status);
            for require_point in [1, -1] {
                assert_eq!(change(&mut account, require_point), Err(ChangeRefused::MemberNotNormal(status)));
            }
            let booking = account.adjust(PointChange::Earn(points(5)), now(), NEVER).unwrap();
            account.add_lots(&booking.new_lots, &[1]);
            assert_eq!(account.adjust(PointChange::Use(points(5)), now(), NEVER).unwrap().amount, -5);
            assert!(account.adjust(PointChange::Use(points(1)), now(), NEVER).is_err());
        }
    }

    #[test]
    fn using_more_than_remains_is_refused_and_using_all_is_not() {
        let mut account = account(MemberStatus::Normal);
        change(&mut account, 10).unwrap();
        assert_eq!(
            change(&mut account, -11),
            Err(ChangeRefused::InsufficientPoints { asked: points(11), remaining: points(10) })
        );
        assert_eq!(change(&mut account, -10).unwrap().balance_after, Points::ZERO);
    }

    #[test]
    fn the_balance_cannot_pass_2_to_the_53_minus_1() {
        let mut account = account(MemberStatus::Normal);
        change(&mut account, Points::MAX.get()).unwrap();
        assert_eq!(change(&mut account, 1), Err(ChangeRefused::BalanceOverflow));
        assert_eq!(account.balance, Points::MAX);
    }

    #[test]
    fn an_account_of_very_many_lots_earns_no_more_until_one_is_used_up() {
        let mut account = account(MemberStatus::Normal);
        let lot = |lot_id| Lot { lot_id, remaining: points(2), expires_at: NEVER };
        account.lots = Lots::new((1_000..).take(MOST_OPEN_LOTS).map(lot).collect());
        account.balance = points(account.lots.total());
        assert_eq!(change(&mut account, 1), Err(ChangeRefused::TooManyLots));
        change(&mut account, -1).unwrap();
        let adjusted = account.adjust(PointChange::Earn(points(1)), now(), NEVER);
        assert_eq!(adjusted, Err(ChangeRefused::TooManyLots));
        change(&mut account, -1).unwrap();
        change(&mut account, 1).unwrap();
    }

    #[test]
    fn points_are_taken_at_the_very_moment_they_expire_and_do_not_count_from_then_on() {
        let mut account = account(MemberStatus::Normal);
        let end = now() + TimeDelta::seconds(1);
        for (lot_id, expires_at) in [(1, end), (2, NEVER)] {
            let booking = account.change(PointChange::Earn(points(7)), now(), expires_at).unwrap();
            account.add_lots(&booking.new_lots, &[lot_id]);
        }
        assert_eq!((account.usable(now()), account.expire(now())), (14, None));
        assert_eq!(account.usable(end), 7);
        let booking = account.expire(end).unwrap();
        assert_eq!((booking.entry_type, booking.amount), (EntryType::Expire, -7));
        assert_eq!((account.balance, account.usable(end), account.expire(end)), (points(7), 7, None));
    }

    #[test]
    fn a_closed_account_absorbs_everything() {
        let mut account = account(MemberStatus::Normal);
        change(&mut account, 7).unwrap();
        let forfeiture = account.forfeit().unwrap();
        assert_eq!(forfeiture.forfeited, points(7));
        let closed = account.clone();
        assert_eq!(account.forfeit(), None);
        assert_eq!(account.forfeited(), points(7));
        assert_eq!(change(&mut account, 1), Err(ChangeRefused::Closed));
        assert_eq!(account.adjust(PointChange::Earn(points(1)), now(), NEVER), Err(ChangeRefused::Closed));
        assert!(!account.follow_member(MemberStatus::Normal, 9));
        assert_eq!((account.grant_signup(now(), NEVER), account.expire(NEVER)), (None, None));
        assert_eq!(account, closed);
    }

    #[test]
    fn nothing_left_is_forfeited_without_an_entry() {
        assert_eq!(
            account(MemberStatus::Abnormal).forfeit(),
            Some(Forfeiture { forfeited: Points::ZERO, booking: None })
        );
    }
}
