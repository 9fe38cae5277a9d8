//! The burn engine: which lots pay for what.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::entry::{LotChange, LotId};
use super::points::Points;

/// Points that were earned together and expire together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Its id; of lots that expire together the older one is burnt first.
    pub lot_id: LotId,
    /// What is left of it, > 0 in an account.
    pub remaining: Points,
    /// From when on its points are no longer valid.
    pub expires_at: DateTime<Utc>,
}

impl Lot {
    /// Whether its points are still valid. At the very moment of expiry they are not.
    #[must_use]
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        now < self.expires_at
    }
}

/// The lots of an account that have points left, in the order in which they are burnt: those that expire soonest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lots(Vec<Lot>);

impl Lots {
    /// Lots in any order.
    #[must_use]
    pub fn new(mut lots: Vec<Lot>) -> Self {
        lots.retain(|lot| lot.remaining > Points::ZERO);
        lots.sort_unstable_by_key(|lot| (lot.expires_at, lot.lot_id));
        Self(lots)
    }

    /// In the order in which they are burnt.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Lot> + ExactSizeIterator {
        self.0.iter()
    }

    /// One of them, if it has points left.
    #[must_use]
    pub fn get(&self, lot_id: LotId) -> Option<&Lot> {
        self.0.iter().find(|lot| lot.lot_id == lot_id)
    }

    /// How many points they have together.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.0.iter().map(|lot| lot.remaining.get()).sum()
    }

    /// How many points some of them have together.
    #[must_use]
    pub fn total_of(&self, lots: &[LotId]) -> i64 {
        let lots: HashSet<LotId> = lots.iter().copied().collect();
        let of_these = self.0.iter().filter(|lot| lots.contains(&lot.lot_id));
        of_these.map(|lot| lot.remaining.get()).sum()
    }

    /// Takes points, from these lots first and then from those that expire soonest. `None`, and nothing taken, when
    /// there are not so many.
    pub fn burn(&mut self, amount: Points, first: &[LotId]) -> Option<Vec<LotChange>> {
        if self.total() < amount.get() {
            return None;
        }
        let first: HashSet<LotId> = first.iter().copied().collect();
        let mut order: Vec<Lot> = self.0.clone();
        order.sort_by_key(|lot| !first.contains(&lot.lot_id));
        let mut missing = amount.get();
        let mut changes = Vec::new();
        for lot in order {
            let taken = lot.remaining.get().min(missing);
            if taken > 0 {
                missing -= taken;
                changes.push(LotChange { lot_id: lot.lot_id, amount: -taken, expires_at: lot.expires_at });
            }
        }
        self.apply(&changes);
        Some(changes)
    }

    /// Takes what is no longer valid.
    pub fn expire(&mut self, now: DateTime<Utc>) -> Vec<LotChange> {
        let due = self.0.iter().take_while(|lot| !lot.is_valid(now));
        let change = |lot: &Lot| LotChange {
            lot_id: lot.lot_id,
            amount: -lot.remaining.get(),
            expires_at: lot.expires_at,
        };
        let changes: Vec<LotChange> = due.map(change).collect();
        self.apply(&changes);
        changes
    }

    /// Takes everything.
    pub fn burn_all(&mut self) -> Vec<LotChange> {
        self.expire(DateTime::<Utc>::MAX_UTC)
    }

    /// Gives points back to lots, each of which is named once.
    pub fn give_back(&mut self, changes: &[LotChange]) {
        let mut returned: HashMap<LotId, LotChange> =
            changes.iter().map(|change| (change.lot_id, *change)).collect();
        for lot in &mut self.0 {
            let back = returned.remove(&lot.lot_id).map_or(0, |change| change.amount);
            lot.remaining = Points::try_from(lot.remaining.get() + back).unwrap_or(Points::ZERO);
        }
        let emptied = returned.into_values().map(|LotChange { lot_id, amount, expires_at }| Lot {
            lot_id,
            remaining: Points::try_from(amount).unwrap_or(Points::ZERO),
            expires_at,
        });
        *self = Self::new(self.0.drain(..).chain(emptied).collect());
    }

    fn apply(&mut self, changes: &[LotChange]) {
        let amounts: HashMap<LotId, i64> =
            changes.iter().map(|change| (change.lot_id, change.amount)).collect();
        for lot in &mut self.0 {
            let left = lot.remaining.get() + amounts.get(&lot.lot_id).copied().unwrap_or_default();
            lot.remaining = Points::try_from(left).expect("no more is taken from a lot than it has");
        }
        self.0.retain(|lot| lot.remaining > Points::ZERO);
    }
}
