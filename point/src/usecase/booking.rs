//! What every change of a balance has in common: account, ledger and outbox move together.

use shared_events::delivery::outbox::{self, AggregateVersion};
use shared_events::event::{PointsEarned, PointsForfeited, PointsUsed};
use sqlx::PgConnection;

use crate::domain::{Account, EntryType, LedgerEntry, Points};
use crate::store::{Origin, accounts};

/// Stores a changed account with its ledger entry and publishes the event.
pub(crate) async fn book_in_tx(
    tx: &mut PgConnection,
    account: &Account,
    entry: &LedgerEntry,
    origin: Origin<'_>,
) -> sqlx::Result<()> {
    accounts::update_in_tx(tx, account, Some(entry), origin).await?;
    publish_in_tx(tx, account, entry.entry_type, entry.amount, origin).await
}

/// Publishes what happened to an account, as it is now.
pub(super) async fn publish_in_tx(
    tx: &mut PgConnection,
    account: &Account,
    entry_type: EntryType,
    amount: Points,
    origin: Origin<'_>,
) -> sqlx::Result<()> {
    let Account { member_id, membership_id, version, .. } = *account;
    let aggregate = AggregateVersion { member_id, membership_id, version };
    let amount = amount.get();
    let remain_point = account.balance.get();
    let occurred_at = origin.now;
    match entry_type {
        EntryType::Signup | EntryType::Earn => {
            let entry_type = entry_type.as_str().to_owned();
            let event =
                PointsEarned { member_id, membership_id, amount, remain_point, entry_type, occurred_at };
            outbox::append_in_tx(tx, aggregate, &event, origin.provenance).await
        }
        EntryType::Use => {
            let event = PointsUsed { member_id, membership_id, amount, remain_point, occurred_at };
            outbox::append_in_tx(tx, aggregate, &event, origin.provenance).await
        }
        EntryType::Forfeit => {
            let event = PointsForfeited { member_id, membership_id, amount, remain_point, occurred_at };
            outbox::append_in_tx(tx, aggregate, &event, origin.provenance).await
        }
    }
}
