//! What every change of a balance has in common: account, lots, ledger and outbox move together.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use shared_events::MembershipId;
use shared_events::delivery::AfterCommit;
use shared_events::delivery::outbox::{self, AggregateVersion, NewEvent};
use shared_events::event::{
    LotPart, NextExpiration, PointsAdjusted, PointsEarned, PointsExpired, PointsForfeited, PointsRestored,
    PointsUsed,
};
use sqlx::PgConnection;

use crate::domain::{Account, Booking, EntryType, LotId, TransactionId};
use crate::metrics;
use crate::store::Origin;
use crate::store::accounts::Columns;
use crate::store::history::{Movement, Transaction};
use crate::store::ledger::{self, Entry, Remarks, StoredIds, UNSTORED};
use crate::store::lots::LotsDue;

/// An event that tells of more lots leaves them out: a broker takes a megabyte, and what it does not take holds up all events
/// behind it.
const MOST_LOTS_TOLD: usize = 5_000;

/// What is booked in a transaction, in the order of booking, and the accounts after it; all of it is stored at once.
#[derive(Default)]
pub(crate) struct Journal {
    accounts: BTreeMap<MembershipId, Columns>,
    entries: Vec<(Entry, State)>,
    empty_forfeitures: Vec<NewEvent>,
    new_lots: LotId,
}

/// What else an event tells of the account, as it was after the booking.
struct State {
    aggregate: AggregateVersion,
    next_expiration: Option<NextExpiration>,
}

impl Journal {
    /// Notes what was booked on an account that is locked. Its new lots can be burnt by what is booked next.
    pub(crate) fn note(
        &mut self,
        account: &mut Account,
        booking: Booking,
        remarks: Remarks,
        origin: Origin<'_>,
    ) {
        let new_lot_ids: Vec<LotId> = (UNSTORED + self.new_lots..).take(booking.new_lots.len()).collect();
        self.new_lots += LotId::try_from(new_lot_ids.len()).unwrap_or(LotId::MAX);
        account.add_lots(&booking.new_lots, &new_lot_ids);
        self.push(account, booking, new_lot_ids, remarks, next_expiration(account), origin);
    }

    fn push(
        &mut self,
        account: &Account,
        booking: Booking,
        new_lot_ids: Vec<LotId>,
        remarks: Remarks,
        next_expiration: Option<NextExpiration>,
        origin: Origin<'_>,
    ) {
        let state = State { aggregate: version_of(account), next_expiration };
        let Origin { provenance, cause, now } = origin;
        let (membership_id, provenance) = (account.membership_id, provenance.clone());
        let entry = Entry { membership_id, booking, new_lot_ids, remarks, provenance, cause, now };
        self.accounts.insert(membership_id, Columns::of(account, now));
        self.entries.push((entry, state));
    }

    /// Notes what changed in an account that is locked, where its balance did not.
    pub(crate) fn note_unbooked(&mut self, account: &Account, now: DateTime<Utc>) {
        self.accounts.insert(account.membership_id, Columns::of(account, now));
    }

    /// Notes that an account that is locked was closed. With nothing left on it there is no entry.
    pub(crate) fn note_forfeiture(
        &mut self,
        account: &mut Account,
        booking: Option<Booking>,
        origin: Origin<'_>,
    ) -> sqlx::Result<()> {
        match booking {
            Some(booking) => self.note(account, booking, Remarks::default(), origin),
            None => {
                self.note_unbooked(account, origin.now);
                self.empty_forfeitures.push(empty_forfeiture(account, origin)?);
            }
        }
        Ok(())
    }

    /// Takes what is no longer valid out of an account that is locked.
    pub(crate) fn note_expiry(&mut self, account: &mut Account, origin: Origin<'_>) {
        if let Some(expired) = account.expire(origin.now) {
            self.note(account, expired, Remarks::default(), origin);
        }
    }

    /// Takes what was found due out of an account that is locked.
    pub(crate) fn note_found_due(&mut self, found: LotsDue, origin: Origin<'_>) {
        let LotsDue { mut account, next_expiration } = found;
        if let Some(expired) = account.expire(origin.now) {
            self.push(&account, expired, Vec::new(), Remarks::default(), next_expiration, origin);
        }
    }

    /// How many bookings were noted.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Stores it all and publishes the events; what was booked is counted `after` the commit. Returns the transactions in
    /// the order of booking.
    pub(crate) async fn store_in_tx(
        self,
        tx: &mut PgConnection,
        after: &mut AfterCommit,
    ) -> sqlx::Result<Vec<Transaction>> {
        if self.accounts.is_empty() {
            return Ok(Vec::new());
        }
        // Published last, as nothing happens to a closed account.
        let empty_forfeitures = self.empty_forfeitures;
        let accounts: Vec<Columns> = self.accounts.into_values().collect();
        let (entries, states): (Vec<Entry>, Vec<State>) = self.entries.into_iter().unzip();
        let ids = ledger::append_in_tx(tx, &accounts, &entries).await?;
        let mut events = Vec::with_capacity(entries.len());
        let mut transactions = Vec::with_capacity(entries.len());
        for ((entry, state), transaction_id) in entries.iter().zip(&states).zip(ids.entries.iter().copied()) {
            events.push(event(entry, state, transaction_id, &ids)?);
            transactions.push(transaction(entry, Some(transaction_id), |lot_id| Some(ids.lot(lot_id))));
            let (entry_type, amount) = (entry.booking.entry_type, entry.booking.amount);
            after.add(move || metrics::booked(entry_type, amount));
        }
        events.extend(empty_forfeitures);
        outbox::append_all_in_tx(tx, &events).await?;
        Ok(transactions)
    }

    /// The last transaction, if it were stored: neither it nor its new lots have an id.
    pub(crate) fn last_as_draft(&self) -> Option<Transaction> {
        let (entry, _) = self.entries.last()?;
        Some(transaction(entry, None, |lot_id| (lot_id < UNSTORED).then_some(lot_id)))
    }
}

/// Tells that an account was closed with nothing on it.
pub(super) fn empty_forfeiture(account: &Account, origin: Origin<'_>) -> sqlx::Result<NewEvent> {
    let event = PointsForfeited {
        member_id: account.member_id,
        membership_id: account.membership_id,
        amount: 0,
        remain_point: 0,
        occurred_at: origin.now,
        transaction_id: None,
        lots: None,
    };
    NewEvent::new(version_of(account), &event, origin.provenance)
}

const fn version_of(account: &Account) -> AggregateVersion {
    let Account { member_id, membership_id, version, .. } = *account;
    AggregateVersion { member_id, membership_id, version }
}

/// What of an account expires next.
fn next_expiration(account: &Account) -> Option<NextExpiration> {
    let expires_at = account.lots.iter().next()?.expires_at;
    let points = account.lots.iter().take_while(|lot| lot.expires_at == expires_at);
    Some(NextExpiration { points: points.map(|lot| lot.remaining.get()).sum(), expires_at })
}

/// The transaction that an entry is to clients. Without an id it was not written, and neither were its new lots.
fn transaction(
    entry: &Entry,
    transaction_id: Option<TransactionId>,
    lot_id: impl Fn(LotId) -> Option<LotId>,
) -> Transaction {
    let Entry { booking, remarks, provenance, now, .. } = entry;
    let movement = |(id, points, expires_at)| Movement { lot_id: lot_id(id), points, expires_at };
    Transaction {
        transaction_id,
        entry_type: booking.entry_type,
        amount: booking.amount,
        balance_after: booking.balance_after.get(),
        reference: remarks.reference.clone(),
        reason: remarks.reason.clone(),
        refers_to: booking.refers_to,
        actor: provenance.actor.clone(),
        occurred_at: *now,
        lots: entry.movements().map(movement).collect(),
    }
}

fn event(
    entry: &Entry,
    state: &State,
    transaction_id: TransactionId,
    ids: &StoredIds,
) -> sqlx::Result<NewEvent> {
    let Entry { booking, remarks, provenance, now: occurred_at, .. } = entry;
    let (aggregate, next_expiration, occurred_at) = (state.aggregate, state.next_expiration, *occurred_at);
    let AggregateVersion { member_id, membership_id, .. } = aggregate;
    let entry_type = booking.entry_type.as_str().to_owned();
    let remain_point = booking.balance_after.get();
    let (refers_to, reference) = (booking.refers_to, remarks.reference.clone());
    let (signed, amount) = (booking.amount, booking.amount.abs());
    let part = |(lot_id, points, expires_at)| LotPart { lot_id: ids.lot(lot_id), points, expires_at };
    let mut lots: Vec<LotPart> = entry.movements().map(part).collect();
    if lots.len() > MOST_LOTS_TOLD {
        lots = Vec::new();
    }
    match booking.entry_type {
        EntryType::Signup | EntryType::Earn => {
            let event = PointsEarned {
                member_id,
                membership_id,
                amount,
                remain_point,
                entry_type,
                occurred_at,
                transaction_id: Some(transaction_id),
                reference,
                lots: Some(lots),
                next_expiration,
            };
            NewEvent::new(aggregate, &event, provenance)
        }
        EntryType::Use => {
            let event = PointsUsed {
                member_id,
                membership_id,
                amount,
                remain_point,
                occurred_at,
                transaction_id: Some(transaction_id),
                reference,
                lots: Some(lots),
                next_expiration,
            };
            NewEvent::new(aggregate, &event, provenance)
        }
        EntryType::Forfeit => {
            let event = PointsForfeited {
                member_id,
                membership_id,
                amount,
                remain_point,
                occurred_at,
                transaction_id: Some(transaction_id),
                lots: Some(lots),
            };
            NewEvent::new(aggregate, &event, provenance)
        }
        EntryType::UseCancel => {
            let event = PointsRestored {
                member_id,
                membership_id,
                amount,
                remain_point,
                occurred_at,
                transaction_id,
                refers_to,
                reference,
                lots,
                next_expiration,
            };
            NewEvent::new(aggregate, &event, provenance)
        }
        EntryType::Expire => {
            let event = PointsExpired {
                member_id,
                membership_id,
                amount,
                remain_point,
                occurred_at,
                transaction_id,
                lots,
                next_expiration,
            };
            NewEvent::new(aggregate, &event, provenance)
        }
        EntryType::EarnCancel | EntryType::Adjust => {
            let event = PointsAdjusted {
                member_id,
                membership_id,
                amount: signed,
                remain_point,
                entry_type,
                occurred_at,
                transaction_id,
                refers_to,
                reference,
                lots,
                next_expiration,
            };
            NewEvent::new(aggregate, &event, provenance)
        }
    }
}
