//! Taking back what was earned, and giving back what was used.

use chrono::{DateTime, Utc};

use super::account::{Account, AccountState, MOST_OPEN_LOTS};
use super::entry::{Booking, EntryType, LotChange, LotId, NewLot, TransactionId};
use super::lot::Lot;
use super::points::Points;

/// A transaction that may be cancelled, and what has been cancelled of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Which transaction.
    pub transaction_id: TransactionId,
    /// What it recorded.
    pub entry_type: EntryType,
    /// The shop's receipt.
    pub reference: Option<String>,
    /// How many points it moved, > 0.
    pub amount: Points,
    /// How many of them were cancelled before.
    pub cancelled: Points,
    /// Of an earning: how many of them were not used before they expired.
    pub expired: Points,
    /// The lots that it burnt, in that order; of an earning the one that it made, and those that replace it.
    pub shares: Vec<Share>,
}

/// What a transaction moved of one lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which lot.
    pub lot_id: LotId,
    /// How many points, > 0.
    pub amount: Points,
    /// How many of them were given back before, to the lot or to one that replaces it.
    pub returned: Points,
    /// When the lot expires.
    pub expires_at: DateTime<Utc>,
}

/// What is done when an earning is cancelled whose points were spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpentPolicy {
    /// The cancellation is refused.
    Refuse,
    /// The rest is taken from the other lots, as far as they have it.
    TakeFromOthers,
}

/// Why a cancellation was refused. The account is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelRefused {
    /// The account is closed: to clients there is none.
    #[error("the account is closed")]
    Closed,
    /// Only an EARN or a USE can be cancelled.
    #[error("a transaction of type {} cannot be cancelled", .0.as_str())]
    NotCancellable(EntryType),
    /// All of it was cancelled before.
    #[error("the transaction is cancelled already")]
    AlreadyCancelled,
    /// More than what is left of it.
    #[error("only {rest} points of it can still be cancelled")]
    ExceedsRest {
        /// What is neither cancelled nor expired.
        rest: Points,
    },
    /// Nothing of the earning was used before it expired: there is nothing to take back.
    #[error("the earned points have expired")]
    PointsExpired,
    /// The points of the earning were spent.
    #[error("{shortfall} of the earned points were spent")]
    PointsSpent {
        /// How many are missing, in points.
        shortfall: i64,
    },
    /// A part of a use could take one lot too many; all that is left of it does not ask how many there are.
    #[error(
        "the account has {MOST_OPEN_LOTS} lots with points left: only all {rest} points can be cancelled at once"
    )]
    TooManyLots {
        /// What is not cancelled yet.
        rest: Points,
    },
    /// The balance would go above 2^53−1.
    #[error("the balance would be too large")]
    BalanceOverflow,
}

impl Account {
    /// Cancels all, or some, of what is left of a transaction of this account.
    ///
    /// # Errors
    /// [`CancelRefused`]
    pub fn cancel(
        &mut self,
        original: &Original,
        amount: Option<Points>,
        now: DateTime<Utc>,
        grace_until: DateTime<Utc>,
        policy: SpentPolicy,
    ) -> Result<Booking, CancelRefused> {
        if let AccountState::Closed { .. } = self.state {
            return Err(CancelRefused::Closed);
        }
        let (entry_type, is_earning) = match original.entry_type {
            EntryType::Earn => (EntryType::EarnCancel, true),
            EntryType::Use => (EntryType::UseCancel, false),
            other => return Err(CancelRefused::NotCancellable(other)),
        };
        let left = original.amount.checked_sub(original.cancelled).unwrap_or(Points::ZERO);
        let rest = left.checked_sub(original.expired).unwrap_or(Points::ZERO);
        let amount = amount.unwrap_or(rest);
        if rest == Points::ZERO {
            let is_cancelled = original.cancelled > Points::ZERO;
            return Err(if is_cancelled {
                CancelRefused::AlreadyCancelled
            } else {
                CancelRefused::PointsExpired
            });
        }
        if amount > rest {
            return Err(CancelRefused::ExceedsRest { rest });
        }
        let (lot_changes, new_lots) = if is_earning {
            (self.take_back(original, amount, policy)?, Vec::new())
        } else {
            if amount < rest && self.has_most_lots() {
                return Err(CancelRefused::TooManyLots { rest });
            }
            self.balance.checked_add(amount).map_err(|_| CancelRefused::BalanceOverflow)?;
            self.give_back(original, amount, now, grace_until)
        };
        Ok(self.book(entry_type, Some(original.transaction_id), lot_changes, new_lots))
    }

    /// Takes the points of an earning out of its lots again.
    fn take_back(
        &mut self,
        original: &Original,
        amount: Points,
        policy: SpentPolicy,
    ) -> Result<Vec<LotChange>, CancelRefused> {
        let own: Vec<LotId> = original.shares.iter().map(|share| share.lot_id).collect();
        let available = match policy {
            SpentPolicy::Refuse if !own.is_empty() => self.lots.total_of(&own),
            // An earning from before there were lots names none: its points are in the lot that was made of all.
            SpentPolicy::Refuse | SpentPolicy::TakeFromOthers => self.lots.total(),
        };
        let shortfall = amount.get() - available;
        if shortfall > 0 {
            return Err(CancelRefused::PointsSpent { shortfall });
        }
        self.lots.burn(amount, &own).ok_or(CancelRefused::PointsSpent { shortfall })
    }

    /// Gives the points of a use back to the lots that paid it, the last one first: what would have been burnt last
    /// comes back first. A lot that has expired meanwhile gets a new one, valid until `grace_until`.
    fn give_back(
        &mut self,
        original: &Original,
        amount: Points,
        now: DateTime<Utc>,
        grace_until: DateTime<Utc>,
    ) -> (Vec<LotChange>, Vec<NewLot>) {
        let (mut changes, mut new_lots) = (Vec::new(), Vec::new());
        let mut missing = amount.get();
        let grace = |amount: i64, replaces| NewLot {
            amount: Points::try_from(amount).expect("part of an amount of points"),
            earned_at: now,
            expires_at: grace_until,
            replaces,
        };
        for share in original.shares.iter().rev() {
            let back = (share.amount.get() - share.returned.get()).min(missing);
            if back <= 0 {
                continue;
            }
            missing -= back;
            let lot = Lot { lot_id: share.lot_id, remaining: share.amount, expires_at: share.expires_at };
            if lot.is_valid(now) {
                let change = LotChange { lot_id: share.lot_id, amount: back, expires_at: share.expires_at };
                changes.push(change);
            } else {
                new_lots.push(grace(back, Some(share.lot_id)));
            }
        }
        // A use from before there were lots names none.
        if missing > 0 {
            new_lots.push(grace(missing, None));
        }
        self.lots.give_back(&changes);
        (changes, new_lots)
    }
}

#[cfg(test)]
mod tests {
    use shared_events::event::MemberStatus;
    use shared_events::{MemberId, MembershipId};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Lots, PointChange};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn points(number: i64) -> Points {
        number.try_into().unwrap()
    }

    /// An account with lots of 100 points each, that expire after 10, 20 and 30 seconds and are called so.
    fn account() -> Account {
        let (member_id, membership_id) = (MemberId::try_from(1).unwrap(), MembershipId(Uuid::nil()));
        let mut account = Account::open(member_id, membership_id, MemberStatus::Normal, 1, 0);
        for lot_id in [10, 20, 30] {
            let booking = account.change(PointChange::Earn(points(100)), at(0), at(lot_id)).unwrap();
            account.add_lots(&booking.new_lots, &[lot_id]);
        }
        account
    }

    fn original(transaction_id: TransactionId, booking: &Booking) -> Original {
        let share = |(lot_id, amount, expires_at)| Share {
            lot_id,
            amount: points(amount),
            returned: Points::ZERO,
            expires_at,
        };
        let burnt = booking.lot_changes.iter().map(|it| (it.lot_id, -it.amount, it.expires_at));
        Original {
            transaction_id,
            entry_type: booking.entry_type,
            reference: None,
            amount: points(booking.amount.abs()),
            cancelled: Points::ZERO,
            expired: Points::ZERO,
            shares: burnt.map(share).collect(),
        }
    }

    fn earning(lot_id: LotId) -> Original {
        let (amount, returned) = (points(100), Points::ZERO);
        let shares = vec![Share { lot_id, amount, returned, expires_at: at(lot_id) }];
        let (entry_type, cancelled, expired) = (EntryType::Earn, Points::ZERO, Points::ZERO);
        Original { transaction_id: 1, entry_type, reference: None, amount, cancelled, expired, shares }
    }

    fn used(account: &mut Account, amount: i64) -> Original {
        let booking = account.change(PointChange::Use(points(amount)), at(0), at(0)).unwrap();
        original(9, &booking)
    }

    fn cancel(
        account: &mut Account,
        original: &Original,
        amount: Option<i64>,
        now: i64,
    ) -> Result<Booking, CancelRefused> {
        account.cancel(original, amount.map(points), at(now), at(now + 1_000), SpentPolicy::Refuse)
    }

    fn lots(account: &Account) -> Vec<(LotId, i64)> {
        account.lots.iter().map(|lot| (lot.lot_id, lot.remaining.get())).collect()
    }

    #[test]
    fn a_use_is_given_back_to_the_lots_that_paid_it() {
        let mut account = account();
        let before = lots(&account);
        let original = used(&mut account, 150);
        assert_eq!(lots(&account), [(20, 50), (30, 100)]);
        let booking = cancel(&mut account, &original, None, 5).unwrap();
        assert_eq!(
            (booking.entry_type, booking.amount, booking.refers_to),
            (EntryType::UseCancel, 150, Some(9))
        );
        assert_eq!(lots(&account), before);
    }

    #[test]
    fn what_was_burnt_last_comes_back_first() {
        let mut account = account();
        let mut original = used(&mut account, 150);
        cancel(&mut account, &original, Some(60), 5).unwrap();
        assert_eq!(lots(&account), [(10, 10), (20, 100), (30, 100)]);
        original.cancelled = points(60);
        (original.shares[0].returned, original.shares[1].returned) = (points(10), points(50));
        assert_eq!(
            cancel(&mut account, &original, Some(91), 5),
            Err(CancelRefused::ExceedsRest { rest: points(90) })
        );
        cancel(&mut account, &original, None, 5).unwrap();
        assert_eq!(lots(&account), [(10, 100), (20, 100), (30, 100)]);
        original.cancelled = points(150);
        assert_eq!(cancel(&mut account, &original, None, 5), Err(CancelRefused::AlreadyCancelled));
    }

    #[test]
    fn what_has_expired_meanwhile_comes_back_with_a_grace() {
        let mut account = account();
        let original = used(&mut account, 150);
        // At the very moment that lot 10 expires.
        let booking = cancel(&mut account, &original, None, 10).unwrap();
        let [lot] = booking.new_lots[..] else { panic!("{booking:?}") };
        assert_eq!((lot.amount, lot.expires_at, lot.replaces), (points(100), at(1_010), Some(10)));
        assert_eq!(lots(&account), [(20, 100), (30, 100)]);
        assert_eq!(account.balance, points(300));
    }

    #[test]
    fn a_use_that_names_no_lots_comes_back_with_a_grace() {
        let mut account = account();
        let mut original = used(&mut account, 150);
        original.shares.clear();
        let booking = cancel(&mut account, &original, Some(70), 5).unwrap();
        assert_eq!((booking.new_lots[0].amount, booking.new_lots[0].replaces), (points(70), None));
    }

    #[test]
    fn an_earning_is_taken_back_from_its_own_lot() {
        let mut account = account();
        let booking = cancel(&mut account, &earning(20), Some(40), 5).unwrap();
        assert_eq!((booking.entry_type, booking.amount), (EntryType::EarnCancel, -40));
        assert_eq!(lots(&account), [(10, 100), (20, 60), (30, 100)]);
    }

    #[test]
    fn a_spent_earning_is_refused_or_taken_from_others_by_the_policy() {
        let mut account = account();
        used(&mut account, 130);
        let before = account.clone();
        assert_eq!(
            cancel(&mut account, &earning(20), None, 5),
            Err(CancelRefused::PointsSpent { shortfall: 30 })
        );
        assert_eq!(
            cancel(&mut account, &earning(10), None, 5),
            Err(CancelRefused::PointsSpent { shortfall: 100 })
        );
        assert_eq!(account, before);

        let others = SpentPolicy::TakeFromOthers;
        account.cancel(&earning(20), None, at(5), at(0), others).unwrap();
        assert_eq!(lots(&account), [(30, 70)]);
        let refused = account.cancel(&earning(10), None, at(5), at(0), others);
        assert_eq!(refused, Err(CancelRefused::PointsSpent { shortfall: 30 }));
    }

    #[test]
    fn only_an_earning_or_a_use_can_be_cancelled() {
        for entry_type in EntryType::ALL {
            let original = Original { entry_type, ..earning(20) };
            let cancelled = cancel(&mut account(), &original, None, 5);
            match entry_type {
                EntryType::Earn | EntryType::Use => assert!(cancelled.is_ok()),
                other => assert_eq!(cancelled, Err(CancelRefused::NotCancellable(other))),
            }
        }
    }

    #[test]
    fn of_a_use_that_an_account_of_very_many_lots_gets_back_it_gets_all() {
        let mut account = account();
        let used = account.change(PointChange::Use(points(200)), at(0), at(99)).unwrap();
        let original = original(1, &used);
        let many = (1_000..).take(MOST_OPEN_LOTS).map(|lot_id| Lot {
            lot_id,
            remaining: points(1),
            expires_at: at(1_000),
        });
        account.lots = Lots::new(account.lots.iter().copied().chain(many).collect());
        account.balance = points(account.lots.total());
        let part = account.cancel(&original, Some(points(1)), at(40), at(99), SpentPolicy::Refuse);
        assert_eq!(part, Err(CancelRefused::TooManyLots { rest: points(200) }));
        let all = account.cancel(&original, None, at(40), at(99), SpentPolicy::Refuse).unwrap();
        assert_eq!((all.amount, all.new_lots.len()), (200, 2));
    }
}
