//! Forfeit what is left and close the account: the pivot of a withdrawal.

use chrono::{DateTime, Utc};
use shared_events::delivery::{AfterCommit, Wake};
use shared_events::{MemberId, MembershipId, Provenance};
use sqlx::{PgConnection, PgPool};

use crate::domain::{Account, Forfeiture, Holder, Points};
use crate::store::ledger::Remarks;
use crate::store::{Origin, accounts, holders, lots};
use crate::usecase::journal::{Journal, publish_empty_forfeiture_in_tx};

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
    let mut after = AfterCommit::default();
    let origin = Origin { provenance, cause: None, now };
    let mut holder = holders::lock_in_tx(&mut tx, member_id).await?;
    let forfeited = match accounts::lock_in_tx(&mut tx, member_id, membership_id).await? {
        Some(mut account) => close_in_tx(&mut tx, &mut holder, &mut account, origin, &mut after).await?,
        None => {
            close_unheard_in_tx(&mut tx, &mut holder, membership_id, origin).await?;
            Points::ZERO
        }
    };
    tx.commit().await?;
    after.run();
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
    holder: &mut Holder,
    account: &mut Account,
    origin: Origin<'_>,
    after: &mut AfterCommit,
) -> sqlx::Result<Points> {
    lots::load_in_tx(tx, account).await?;
    let mut journal = Journal::default();
    journal.note_expiry(account, origin);
    let Some(Forfeiture { forfeited, booking }) = account.forfeit() else {
        return Ok(account.forfeited());
    };
    holder.go_on_from(account);
    holders::update_all_in_tx(tx, &[holder]).await?;
    let is_empty = booking.is_none();
    match booking {
        Some(booking) => journal.note(account, booking, Remarks::default(), origin),
        None => journal.note_unbooked(account, origin.now),
    }
    journal.store_in_tx(tx, after).await?;
    if is_empty {
        publish_empty_forfeiture_in_tx(tx, account, origin).await?;
    }
    Ok(forfeited)
}

async fn close_unheard_in_tx(
    tx: &mut PgConnection,
    holder: &mut Holder,
    membership_id: MembershipId,
    origin: Origin<'_>,
) -> Result<(), ForfeitError> {
    if accounts::find_open(tx, holder.member_id).await?.is_some() {
        // Beside an open account it is a former membership, withdrawn before the open one joined. Nothing is
        // published, and so no version taken: it would become the newest record of the memberId, my page would
        // show a balance of 0, and the compacted log would have lost that of the open account.
        let former = Account::never_opened(holder.member_id, membership_id, holder.last_version);
        let stored = accounts::insert_all_in_tx(tx, &[(former, origin.now)]).await;
        return stored.map_err(ForfeitError::from_insert);
    }
    let account = holder.close_unheard(membership_id);
    holders::update_all_in_tx(tx, &[holder]).await?;
    let stored = accounts::insert_all_in_tx(tx, &[(account.clone(), origin.now)]).await;
    stored.map_err(ForfeitError::from_insert)?;
    Ok(publish_empty_forfeiture_in_tx(tx, &account, origin).await?)
}
