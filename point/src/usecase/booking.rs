//! What every change of a balance has in common: account, lots, ledger and outbox move together.

use shared_events::MemberId;
use shared_events::delivery::AfterCommit;
use shared_events::delivery::outbox::{self, AggregateVersion};
use shared_events::event::{
    LotPart, NextExpiration, PointsAdjusted, PointsEarned, PointsExpired, PointsForfeited, PointsRestored,
    PointsUsed,
};
use sqlx::PgConnection;

use crate::domain::{Account, Booking, EntryType};
use crate::metrics;
use crate::store::ledger::{self, AppendError, Remarks, Stored};
use crate::store::{Origin, accounts, lots};

/// The open account of a member, locked, with its lots.
pub(super) async fn lock_open_in_tx(
    tx: &mut PgConnection,
    member_id: MemberId,
) -> sqlx::Result<Option<Account>> {
    let Some(mut account) = accounts::lock_open_in_tx(tx, member_id).await? else { return Ok(None) };
    lots::load_in_tx(tx, &mut account).await?;
    Ok(Some(account))
}

/// Takes what is no longer valid out of an account that is locked.
pub(super) async fn expire_in_tx(
    tx: &mut PgConnection,
    account: &mut Account,
    origin: Origin<'_>,
    after: &mut AfterCommit,
) -> Result<(), AppendError> {
    if let Some(expired) = account.expire(origin.now) {
        book_in_tx(tx, account, &expired, Remarks::default(), origin, after).await?;
    }
    Ok(())
}

/// Stores a changed account with what is booked and publishes the event; it is counted `after` the commit.
pub(crate) async fn book_in_tx(
    tx: &mut PgConnection,
    account: &mut Account,
    booking: &Booking,
    remarks: Remarks<'_>,
    origin: Origin<'_>,
    after: &mut AfterCommit,
) -> Result<Stored, AppendError> {
    let stored = ledger::append_in_tx(tx, account, booking, remarks, origin).await?;
    account.add_stored(&booking.new_lots, &stored.lot_ids);
    publish_in_tx(tx, account, booking, &stored, remarks, origin).await?;
    let (entry_type, amount) = (booking.entry_type, booking.amount);
    after.add(move || metrics::booked(entry_type, amount));
    Ok(stored)
}

/// Publishes that an account was closed with nothing on it: there is no entry for that.
pub(super) async fn publish_empty_forfeiture_in_tx(
    tx: &mut PgConnection,
    account: &Account,
    origin: Origin<'_>,
) -> sqlx::Result<()> {
    let event = PointsForfeited {
        member_id: account.member_id,
        membership_id: account.membership_id,
        amount: 0,
        remain_point: 0,
        occurred_at: origin.now,
        transaction_id: None,
        lots: None,
    };
    outbox::append_in_tx(tx, version_of(account), &event, origin.provenance).await
}

pub(super) const fn version_of(account: &Account) -> AggregateVersion {
    let Account { member_id, membership_id, version, .. } = *account;
    AggregateVersion { member_id, membership_id, version }
}

async fn publish_in_tx(
    tx: &mut PgConnection,
    account: &Account,
    booking: &Booking,
    stored: &Stored,
    remarks: Remarks<'_>,
    origin: Origin<'_>,
) -> sqlx::Result<()> {
    let Account { member_id, membership_id, .. } = *account;
    let entry_type = booking.entry_type.as_str().to_owned();
    let remain_point = booking.balance_after.get();
    let (transaction_id, lots) = (stored.transaction_id, parts(booking, stored));
    let next_expiration = next_expiration(account);
    let (refers_to, reference) = (booking.refers_to, remarks.reference.map(str::to_owned));
    let (signed, amount, occurred_at) = (booking.amount, booking.amount.abs(), origin.now);
    let (aggregate, provenance) = (version_of(account), origin.provenance);
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
            outbox::append_in_tx(tx, aggregate, &event, provenance).await
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
            outbox::append_in_tx(tx, aggregate, &event, provenance).await
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
            outbox::append_in_tx(tx, aggregate, &event, provenance).await
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
                lots,
                next_expiration,
            };
            outbox::append_in_tx(tx, aggregate, &event, provenance).await
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
            outbox::append_in_tx(tx, aggregate, &event, provenance).await
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
                lots,
                next_expiration,
            };
            outbox::append_in_tx(tx, aggregate, &event, provenance).await
        }
    }
}

/// What of an account expires next.
pub(super) fn next_expiration(account: &Account) -> Option<NextExpiration> {
    let expires_at = account.lots.iter().next()?.expires_at;
    let points = account.lots.iter().take_while(|lot| lot.expires_at == expires_at);
    Some(NextExpiration { points: points.map(|lot| lot.remaining.get()).sum(), expires_at })
}

/// What a booking did to each lot.
pub(crate) fn parts(booking: &Booking, stored: &Stored) -> Vec<LotPart> {
    let part = |lot_id, points, expires_at| LotPart { lot_id, points, expires_at };
    let changed = booking.lot_changes.iter().map(|it| part(it.lot_id, it.amount, it.expires_at));
    let made = booking.new_lots.iter().zip(&stored.lot_ids);
    changed.chain(made.map(|(lot, lot_id)| part(*lot_id, lot.amount.get(), lot.expires_at))).collect()
}
