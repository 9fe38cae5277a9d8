//! Earn or use points.

use chrono::{DateTime, Utc};
use shared_events::delivery::Wake;
use shared_events::{MemberId, Provenance};
use sqlx::PgPool;

use crate::domain::{Account, ChangeRefused, PointChange};
use crate::store::{Origin, accounts};
use crate::usecase::book_in_tx;

/// Why points were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangePointsError {
    /// The member has no open account.
    #[error("there is no account")]
    NotFound,
    /// The rules refused it; the account as it is.
    #[error("the change was refused")]
    Refused {
        /// The account, unchanged.
        account: Account,
        /// Why.
        #[source]
        reason: ChangeRefused,
    },
    /// The database failed; nothing was changed unless the commit itself was cut off.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// Changes the balance of a member's open account and returns the account after it.
///
/// # Errors
/// [`ChangePointsError`]
pub async fn change_points(
    pool: &PgPool,
    relay: &Wake,
    member_id: MemberId,
    change: PointChange,
    provenance: &Provenance,
    now: DateTime<Utc>,
) -> Result<Account, ChangePointsError> {
    let mut tx = pool.begin().await?;
    let Some(mut account) = accounts::lock_open_in_tx(&mut tx, member_id).await? else {
        return Err(ChangePointsError::NotFound);
    };
    let entry = match account.change(change) {
        Ok(entry) => entry,
        Err(reason) => return Err(ChangePointsError::Refused { account, reason }),
    };
    book_in_tx(&mut tx, &account, &entry, Origin { provenance, cause: None, now }).await?;
    tx.commit().await?;
    relay.wake();
    Ok(account)
}
