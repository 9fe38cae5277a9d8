//! Forfeit what is left and close the account: the pivot of a withdrawal.

use chrono::{DateTime, Utc};
use shared_events::delivery::Wake;
use shared_events::{MemberId, MembershipId, Provenance};
use sqlx::{PgConnection, PgPool};

use crate::domain::{Account, AccountState, EntryType, Points};
use crate::store::ledger::Origin;
use crate::store::{accounts, ledger};
use crate::usecase::booking::publish_in_tx;

/// Closes the account of a membership and returns what was forfeited, the same however often it is asked.
/// A membership that was never heard of gets a closed account, so that nothing that arrives later can open one.
///
/// # Errors
/// [`ForfeitError`]
pub async fn forfeit_points(
    pool: &PgPool,
    relay: &Wake,
    member_id: MemberId,
    membership_id: MembershipId,
    provenance: &Provenance,
    now: DateTime<Utc>,
) -> Result<Points, ForfeitError> {
    let mut tx = pool.begin().await?;
    let origin = Origin { provenance, cause: None, now };
    accounts::lock_member_in_tx(&mut tx, member_id).await?;
    let mut known = accounts::lock_all_in_tx(&mut tx, member_id).await?;
    let forfeited = match known.take(membership_id) {
        Some(account) => close_in_tx(&mut tx, account, origin).await?,
        None => {
            let account = Account {
                member_id,
                membership_id,
                balance: Points::ZERO,
                version: known.last_version() + 1,
                state: AccountState::Closed { forfeited: Points::ZERO },
            };
            accounts::insert_in_tx(&mut tx, &account, now).await.map_err(ForfeitError::from_insert)?;
            // The version is the memberId's: an account that stays open goes on from it.
            if let Some(mut open) = known.take_open() {
                open.version = account.version;
                accounts::update_in_tx(&mut tx, &open, now).await?;
            }
            publish_in_tx(&mut tx, &account, EntryType::Forfeit, Points::ZERO, origin).await?;
            Points::ZERO
        }
    };
    tx.commit().await?;
    relay.wake();
    Ok(forfeited)
}

/// Why an account was not closed.
#[derive(Debug, thiserror::Error)]
pub enum ForfeitError {
    /// The membership is one of another memberId.
    #[error("the membership belongs to another member")]
    OtherMember,
    /// The database failed; whether the account was closed is unknown.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl ForfeitError {
    fn from_insert(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => Self::OtherMember,
            _ => Self::Database(error),
        }
    }
}

/// Closes an account that is locked, unless it is closed already. Returns what was forfeited then or now.
pub(crate) async fn close_in_tx(
    tx: &mut PgConnection,
    mut account: Account,
    origin: Origin<'_>,
) -> sqlx::Result<Points> {
    if let AccountState::Closed { forfeited } = account.state {
        return Ok(forfeited);
    }
    let forfeiture = account.forfeit().expect("the account is not closed");
    accounts::update_in_tx(tx, &account, origin.now).await?;
    if let Some(entry) = &forfeiture.entry {
        ledger::append_in_tx(tx, account.membership_id, entry, origin).await?;
    }
    publish_in_tx(tx, &account, EntryType::Forfeit, forfeiture.forfeited, origin).await?;
    Ok(forfeiture.forfeited)
}
