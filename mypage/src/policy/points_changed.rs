//! Whenever points have changed: show the balance after it, what expires next, and the transaction.

use chrono::{DateTime, Utc};
use shared_events::Event;

use crate::domain::{PointHalf, Transaction};

/// What a change of points says of a page; `None` when the event is of something else.
pub fn half_of(event: Event, version: i64) -> Option<PointHalf> {
    let is_closed = matches!(event, Event::PointsForfeited(_));
    let (membership_id, remain_point, next_expiration, transaction) = match event {
        Event::PointsEarned(it) => {
            let transaction =
                transaction(it.transaction_id, it.entry_type, it.amount, it.occurred_at, it.reference);
            (it.membership_id, it.remain_point, it.next_expiration, transaction)
        }
        Event::PointsUsed(it) => {
            let entry_type = "USE".to_owned();
            let transaction =
                transaction(it.transaction_id, entry_type, -it.amount, it.occurred_at, it.reference);
            (it.membership_id, it.remain_point, it.next_expiration, transaction)
        }
        Event::PointsRestored(it) => {
            let (id, entry_type) = (Some(it.transaction_id), "USE_CANCEL".to_owned());
            let transaction = transaction(id, entry_type, it.amount, it.occurred_at, it.reference);
            (it.membership_id, it.remain_point, it.next_expiration, transaction)
        }
        Event::PointsExpired(it) => {
            let (id, entry_type) = (Some(it.transaction_id), "EXPIRE".to_owned());
            let transaction = transaction(id, entry_type, -it.amount, it.occurred_at, None);
            (it.membership_id, it.remain_point, it.next_expiration, transaction)
        }
        Event::PointsAdjusted(it) => {
            let id = Some(it.transaction_id);
            let transaction = transaction(id, it.entry_type, it.amount, it.occurred_at, it.reference);
            (it.membership_id, it.remain_point, it.next_expiration, transaction)
        }
        // Nothing has changed, but in a compacted log it may be the newest that is left of the account.
        Event::PointsExpiring(it) => (it.membership_id, it.remain_point, it.next_expiration, None),
        Event::PointsForfeited(it) => (it.membership_id, it.remain_point, None, None),
        Event::MemberJoined(_)
        | Event::MemberStatusChanged(_)
        | Event::MemberWithdrawn(_)
        | Event::MessageSent(_)
        | Event::MessageFailed(_)
        | Event::Unknown => return None,
    };
    let transactions = transaction.map(|own| (version, Transaction { remain_point, ..own }));
    Some(PointHalf {
        version,
        membership_id,
        remain_point,
        next_expiration,
        is_closed,
        transactions: transactions.into_iter().collect(),
    })
}

/// Without the balance after it. What older versions of point published names no transaction.
fn transaction(
    transaction_id: Option<i64>,
    entry_type: String,
    amount: i64,
    occurred_at: DateTime<Utc>,
    reference: Option<String>,
) -> Option<Transaction> {
    let transaction_id = transaction_id?;
    Some(Transaction { transaction_id, entry_type, amount, remain_point: 0, reference, occurred_at })
}
