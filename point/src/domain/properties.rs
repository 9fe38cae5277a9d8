//! What holds whatever happens to an account, in any order and at any time.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use shared_events::event::MemberStatus;
use shared_events::{MemberId, MembershipId};
use uuid::Uuid;

use super::*;

/// Something that happens to an account.
#[derive(Clone, Debug)]
enum Step {
    Earn {
        amount: i64,
        valid_for: i64,
    },
    Use {
        amount: i64,
    },
    Adjust {
        amount: i64,
    },
    /// Of one of the transactions so far, some or all.
    Cancel {
        which: prop::sample::Index,
        amount: Option<i64>,
        policy: SpentPolicy,
    },
    /// Time goes by, and what is due expires.
    Pass {
        seconds: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let policy = prop_oneof![Just(SpentPolicy::Refuse), Just(SpentPolicy::TakeFromOthers)];
    prop_oneof![
        (1..500_i64, 1..60_i64).prop_map(|(amount, valid_for)| Step::Earn { amount, valid_for }),
        (1..700_i64).prop_map(|amount| Step::Use { amount }),
        (-300..300_i64).prop_filter("not 0", |it| *it != 0).prop_map(|amount| Step::Adjust { amount }),
        (any::<prop::sample::Index>(), prop::option::of(1..400_i64), policy)
            .prop_map(|(which, amount, policy)| Step::Cancel { which, amount, policy }),
        (0..20_i64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// The account, and what a store would keep of it.
struct Books {
    account: Account,
    now: DateTime<Utc>,
    next_lot: LotId,
    transactions: Vec<Original>,
    /// What is left of each lot, and when it expires.
    lots: HashMap<LotId, (i64, DateTime<Utc>)>,
    /// The lots that each lot replaces.
    replaced: HashMap<LotId, LotId>,
    /// The earning that made each lot, or the lot that it replaces in the end.
    earnings: HashMap<LotId, usize>,
    sum: i64,
}

fn points(number: i64) -> Points {
    number.try_into().unwrap()
}

impl Books {
    fn new() -> Self {
        let (member_id, membership_id) = (MemberId::try_from(1).unwrap(), MembershipId(Uuid::nil()));
        Self {
            account: Account::open(member_id, membership_id, MemberStatus::Normal, 1, 0),
            now: DateTime::UNIX_EPOCH,
            next_lot: 1,
            transactions: Vec::new(),
            lots: HashMap::new(),
            replaced: HashMap::new(),
            earnings: HashMap::new(),
            sum: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        let (before, now) = (self.account.clone(), self.now);
        let far = now + TimeDelta::days(1);
        let outcome = match step {
            Step::Earn { amount, valid_for } => {
                let until = now + TimeDelta::seconds(*valid_for);
                self.account.change(PointChange::Earn(points(*amount)), now, until).map_err(|_| ())
            }
            Step::Use { amount } => {
                self.account.change(PointChange::Use(points(*amount)), now, far).map_err(|_| ())
            }
            Step::Adjust { amount } => {
                let change = PointChange::from_require_point(*amount).unwrap();
                self.account.adjust(change, now, far).map_err(|_| ())
            }
            Step::Cancel { which, amount, policy } => {
                if self.transactions.is_empty() {
                    return;
                }
                let original = which.get(&self.transactions).clone();
                let cancelled = self.account.cancel(&original, amount.map(points), now, far, *policy);
                if let (Ok(booking), SpentPolicy::Refuse) = (&cancelled, policy) {
                    assert_taken_from_its_own(&original, booking);
                }
                cancelled.map_err(|_| ())
            }
            Step::Pass { seconds } => {
                self.now += TimeDelta::seconds(*seconds);
                let expired = self.account.expire(self.now);
                let taken = expired.as_ref().map(|booking| booking.lot_changes.as_slice());
                self.assert_only_due_lots_went(taken.unwrap_or_default());
                expired.ok_or(())
            }
        };
        match outcome {
            Ok(booking) => self.store(&before, &booking),
            Err(()) => assert_eq!(self.account, before, "what is refused changes nothing"),
        }
        self.check();
    }

    fn store(&mut self, before: &Account, booking: &Booking) {
        assert_eq!(self.account.version, before.version + 1);
        assert_eq!(booking.balance_after, self.account.balance);
        let is_burning = booking.entry_type == EntryType::Adjust && booking.amount < 0;
        if booking.entry_type == EntryType::Use || is_burning {
            self.assert_burnt_in_order(&booking.lot_changes);
        }
        let ids: Vec<LotId> = (self.next_lot..).take(booking.new_lots.len()).collect();
        self.next_lot += 10;
        self.account.add_lots(&booking.new_lots, &ids);
        for (lot_id, lot) in ids.iter().zip(&booking.new_lots) {
            self.lots.insert(*lot_id, (lot.amount.get(), lot.expires_at));
            self.replaced.extend(lot.replaces.map(|replaced| (*lot_id, replaced)));
        }
        for change in &booking.lot_changes {
            self.lots.get_mut(&change.lot_id).unwrap().0 += change.amount;
        }
        self.sum += booking.amount;
        self.note_cancelled(booking, &ids);
        self.note_earned_and_expired(booking, &ids);
        let made = ids.iter().zip(&booking.new_lots).map(|(id, lot)| (*id, lot.amount, lot.expires_at));
        let burnt = booking.lot_changes.iter().map(|it| (it.lot_id, points(it.amount.abs()), it.expires_at));
        let share =
            |(lot_id, amount, expires_at)| Share { lot_id, amount, returned: Points::ZERO, expires_at };
        self.transactions.push(Original {
            transaction_id: i64::try_from(self.transactions.len()).unwrap(),
            entry_type: booking.entry_type,
            reference: None,
            amount: points(booking.amount.abs()),
            cancelled: Points::ZERO,
            expired: Points::ZERO,
            shares: made.chain(burnt).map(share).collect(),
        });
    }

    /// The lots that have points left, in the order in which they are to be burnt: expiry, id, points.
    fn order(&self) -> Vec<(DateTime<Utc>, LotId, i64)> {
        let left = self.lots.iter().filter(|(_, (remaining, _))| *remaining > 0);
        let mut order: Vec<_> =
            left.map(|(lot_id, (remaining, expires_at))| (*expires_at, *lot_id, *remaining)).collect();
        order.sort_unstable();
        order
    }

    fn assert_burnt_in_order(&self, burnt: &[LotChange]) {
        let order = self.order();
        let ids: Vec<LotId> = burnt.iter().map(|change| change.lot_id).collect();
        let soonest: Vec<LotId> = order.iter().map(|(_, lot_id, _)| *lot_id).take(ids.len()).collect();
        assert_eq!(ids, soonest, "what expires soonest is burnt first");
        let (_, emptied) = burnt.split_last().expect("something is burnt");
        for (change, (_, _, remaining)) in emptied.iter().zip(&order) {
            assert_eq!(change.amount, -remaining, "a lot is emptied before the next one is touched");
        }
    }

    /// Of what was there before, `taken` is all that is due, and the rest is as it was.
    fn assert_only_due_lots_went(&self, taken: &[LotChange]) {
        let (due, valid): (Vec<_>, Vec<_>) =
            self.order().into_iter().partition(|(expires_at, ..)| *expires_at <= self.now);
        let taken: Vec<_> =
            taken.iter().map(|change| (change.expires_at, change.lot_id, -change.amount)).collect();
        assert_eq!(taken, due, "what is due goes, all of it");
        let left = self.account.lots.iter();
        let left: Vec<_> = left.map(|lot| (lot.expires_at, lot.lot_id, lot.remaining.get())).collect();
        assert_eq!(left, valid, "what is still valid stays");
    }

    /// Cancels some, or all, of what is left of one of the transactions so far.
    fn cancel(&mut self, which: usize, amount: Option<i64>) {
        let (before, original, now) = (self.account.clone(), self.transactions[which].clone(), self.now);
        let amount = amount.map(points);
        if let Ok(booking) = self.account.cancel(&original, amount, now, now, SpentPolicy::Refuse) {
            self.store(&before, &booking);
        }
        self.check();
    }

    fn note_cancelled(&mut self, booking: &Booking, ids: &[LotId]) {
        let Some(original) = booking.refers_to else { return };
        let original = &mut self.transactions[usize::try_from(original).unwrap()];
        original.cancelled = original.cancelled.checked_add(points(booking.amount.abs())).unwrap();
        assert!(original.cancelled <= original.amount, "never more than the original");
        if booking.entry_type != EntryType::UseCancel {
            return;
        }
        let given_back = booking.lot_changes.iter().map(|change| (change.lot_id, change.amount));
        let replaced =
            ids.iter().zip(&booking.new_lots).map(|(id, lot)| (self.replaced[id], lot.amount.get()));
        for (lot_id, amount) in given_back.chain(replaced) {
            let share = original.shares.iter_mut().find(|share| share.lot_id == lot_id).unwrap();
            share.returned = share.returned.checked_add(points(amount)).unwrap();
            assert!(share.returned <= share.amount, "no lot gets back more than it paid");
        }
    }

    /// Which lots are an earning's own, and how many points of them were not used in time.
    fn note_earned_and_expired(&mut self, booking: &Booking, ids: &[LotId]) {
        for (lot_id, lot) in ids.iter().zip(&booking.new_lots) {
            let earning = match lot.replaces {
                Some(replaced) => self.earnings.get(&replaced).copied(),
                None => (booking.entry_type == EntryType::Earn).then_some(self.transactions.len()),
            };
            let Some(earning) = earning else { continue };
            self.earnings.insert(*lot_id, earning);
            if let Some(original) = self.transactions.get_mut(earning) {
                let (amount, expires_at) = (lot.amount, lot.expires_at);
                original.shares.push(Share { lot_id: *lot_id, amount, returned: Points::ZERO, expires_at });
            }
        }
        for change in booking.lot_changes.iter().filter(|_| booking.entry_type == EntryType::Expire) {
            if let Some(earning) = self.earnings.get(&change.lot_id) {
                let original = &mut self.transactions[*earning];
                original.expired = original.expired.checked_add(points(-change.amount)).unwrap();
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.account.balance.get(), self.sum, "the balance is the sum of the entries");
        assert_eq!(self.account.lots.total(), self.sum, "and what is left of the lots");
        let kept: i64 = self.lots.values().map(|(remaining, _)| remaining).sum();
        assert_eq!(kept, self.sum, "and so a store would see it");
        assert!(self.lots.values().all(|(remaining, _)| *remaining >= 0), "no lot is ever overdrawn");
        for lot in self.account.lots.iter() {
            assert_eq!(
                self.lots[&lot.lot_id],
                (lot.remaining.get(), lot.expires_at),
                "its expiry never changes"
            );
        }
    }
}

/// What was earned and has expired is gone: neither is it taken again, nor are other lots in its place.
fn assert_taken_from_its_own(original: &Original, booking: &Booking) {
    if booking.entry_type != EntryType::EarnCancel {
        return;
    }
    let is_own = |change: &LotChange| original.shares.iter().any(|share| share.lot_id == change.lot_id);
    assert!(booking.lot_changes.iter().all(is_own), "{booking:?} takes what {original:?} has not made");
    let gone = original.cancelled.get() + original.expired.get() - booking.amount;
    assert!(gone <= original.amount.get(), "{booking:?} takes what of {original:?} is gone");
}

proptest! {
    #[test]
    fn points_are_conserved_and_never_negative_whatever_happens(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut books = Books::new();
        for step in &steps {
            books.take(step);
        }
        let forfeiture = books.account.forfeit().unwrap();
        prop_assert_eq!(forfeiture.forfeited.get(), books.sum);
        prop_assert_eq!(books.sum + forfeiture.booking.map_or(0, |booking| booking.amount), 0);
    }

    #[test]
    fn a_use_that_is_cancelled_in_any_parts_before_anything_expires_leaves_the_lots_as_they_were(
        earned in prop::collection::vec((1..500_i64, 1_000..2_000_i64), 1..6),
        parts in prop::collection::vec(1..200_i64, 0..8),
    ) {
        let mut books = Books::new();
        for (amount, valid_for) in earned {
            books.take(&Step::Earn { amount, valid_for });
        }
        let (before, used) = (books.account.lots.clone(), books.sum - books.sum / 3);
        books.take(&Step::Use { amount: used });
        let original = books.transactions.len() - 1;
        for part in parts.into_iter().map(Some).chain([None]) {
            books.cancel(original, part);
        }
        prop_assert_eq!(&books.account.lots, &before);
    }

    #[test]
    fn a_use_that_is_cancelled_and_repeated_before_anything_expires_burns_the_same_of_the_same_lots(
        earned in prop::collection::vec((1..500_i64, 1_000..1_010_i64), 1..8),
        used_before in 0..100_i64,
        share in 1..=100_i64,
        parts in prop::collection::vec(1..200_i64, 0..4),
    ) {
        let mut books = Books::new();
        for (amount, valid_for) in earned {
            books.take(&Step::Earn { amount, valid_for });
        }
        if books.sum > used_before && used_before > 0 {
            books.take(&Step::Use { amount: used_before });
        }
        let again = Step::Use { amount: (books.sum * share / 100).max(1) };
        books.take(&again);
        let first = books.transactions.len() - 1;
        let shares = books.transactions[first].shares.clone();
        for part in parts.into_iter().map(Some).chain([None]) {
            books.cancel(first, part);
        }
        let cancellations = books.transactions.len();
        books.take(&again);
        prop_assert_eq!(books.transactions.len(), cancellations + 1);
        prop_assert_eq!(&books.transactions[cancellations].shares, &shares);
    }

    #[test]
    fn a_lot_is_there_until_a_microsecond_before_it_expires_and_gone_at_that_moment(
        earned in prop::collection::vec((1..500_i64, 1..20_i64), 1..8),
        which in any::<prop::sample::Index>(),
    ) {
        let mut books = Books::new();
        for (amount, valid_for) in &earned {
            books.take(&Step::Earn { amount: *amount, valid_for: *valid_for });
        }
        let seconds = which.get(&earned).1;
        let left = |by: &dyn Fn(i64) -> bool| -> i64 {
            earned.iter().filter(|(_, valid_for)| by(*valid_for)).map(|(amount, _)| amount).sum()
        };
        let moment = books.now + TimeDelta::seconds(seconds);
        for (now, expected) in [
            (moment - TimeDelta::microseconds(1), left(&|valid_for| valid_for >= seconds)),
            (moment, left(&|valid_for| valid_for > seconds)),
        ] {
            prop_assert_eq!(books.account.usable(now), expected);
            books.now = now;
            books.take(&Step::Pass { seconds: 0 });
            prop_assert_eq!(books.sum, expected);
        }
    }
}
