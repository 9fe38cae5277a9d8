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
                let amount = amount.map(points);
                self.account.cancel(&original, amount, now, far, *policy).map_err(|_| ())
            }
            Step::Pass { seconds } => {
                self.now += TimeDelta::seconds(*seconds);
                let expired = self.account.expire(self.now);
                assert!(self.account.lots.iter().all(|lot| lot.is_valid(self.now)), "nothing due is left");
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
        if booking.entry_type == EntryType::Use {
            let burnt: Vec<LotId> = booking.lot_changes.iter().map(|change| change.lot_id).collect();
            let order: Vec<LotId> = before.lots.iter().map(|lot| lot.lot_id).take(burnt.len()).collect();
            assert_eq!(burnt, order, "what expires soonest is burnt first");
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
        let made = ids.iter().zip(&booking.new_lots).map(|(id, lot)| (*id, lot.amount, lot.expires_at));
        let burnt = booking.lot_changes.iter().map(|it| (it.lot_id, points(it.amount.abs()), it.expires_at));
        let share =
            |(lot_id, amount, expires_at)| Share { lot_id, amount, returned: Points::ZERO, expires_at };
        self.transactions.push(Original {
            transaction_id: i64::try_from(self.transactions.len()).unwrap(),
            entry_type: booking.entry_type,
            amount: points(booking.amount.abs()),
            cancelled: Points::ZERO,
            expired: Points::ZERO,
            shares: made.chain(burnt).map(share).collect(),
        });
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
            let cancel = books.transactions[original].clone();
            let (now, amount) = (books.now, part.map(points));
            let before = books.account.clone();
            let refuse = SpentPolicy::Refuse;
            if let Ok(booking) = books.account.cancel(&cancel, amount, now, now, refuse) {
                books.store(&before, &booking);
            }
            books.check();
        }
        prop_assert_eq!(&books.account.lots, &before);
    }
}
