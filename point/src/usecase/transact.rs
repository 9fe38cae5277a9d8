//! Earn, use, cancel or adjust points.

use chassis::conditional::{Conditions, ETag, PreconditionFailed};
use chassis::idempotency::{Once, OnceError};
use chrono::{DateTime, TimeDelta, Utc};
use shared_events::delivery::{AfterCommit, Wake};
use shared_events::event::LotPart;
use shared_events::{MemberId, Provenance};
use sqlx::{PgConnection, PgPool};

use super::booking::{book_in_tx, expire_in_tx, lock_open_in_tx, parts};
use crate::domain::{
    Account, AccountState, Booking, CancelRefused, ChangeRefused, PointChange, Points, SpentPolicy,
    TransactionId, Validity,
};
use crate::store::ledger::{self, AppendError, Movement, Remarks, Stored, Transaction};
use crate::store::{Origin, accounts};

/// The programme's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long points are valid.
    pub validity: Validity,
    /// What is done when an earning is cancelled whose points were spent.
    pub spent: SpentPolicy,
}

/// What is to be done to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Earn or use; what is earned is valid until then, or for as long as the terms say.
    Change(PointChange, Option<DateTime<Utc>>),
    /// Put the balance right.
    Adjust(PointChange),
    /// Cancel a transaction, or some points of it.
    Cancel(TransactionId, Option<Points>),
}

/// A command of a client.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Whose account.
    pub member_id: MemberId,
    /// What is to be done.
    pub command: Command,
    /// What is said about it.
    pub remarks: Remarks<'a>,
    /// Whether only to tell what would happen.
    pub is_dry_run: bool,
    /// Lets it take effect once.
    pub once: &'a Once,
    /// In which state the account has to be.
    pub conditions: &'a Conditions,
}

/// What is meant by soon.
pub const EXPIRING_SOON: TimeDelta = TimeDelta::days(30);

/// Names the state of an open account at a time, as clients see it.
#[must_use]
pub fn etag(account: &Account, now: DateTime<Utc>) -> ETag {
    let member_version = match account.state {
        AccountState::Open { member_version, .. } => member_version,
        AccountState::Closed { .. } => 0,
    };
    let (usable, expiring) = (account.usable(now), account.expiring(now, EXPIRING_SOON));
    ETag::of(&(account.membership_id, account.version, member_version, usable, expiring))
}

/// What was done, or would be.
#[derive(Clone, Debug)]
pub struct Done {
    /// The account after it.
    pub account: Account,
    /// The transaction; after a dry run it has no id, and neither have its new lots.
    pub transaction: Transaction,
}

/// What became of a command.
#[derive(Clone, Debug)]
pub enum Performed {
    /// It was carried out.
    Now(Box<Done>),
    /// It had been before: what was recorded then.
    Before(String),
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum TransactError {
    /// The member has no open account.
    #[error("there is no account")]
    NotFound,
    /// The account has no such transaction.
    #[error("there is no such transaction")]
    TransactionNotFound,
    /// The rules refused it; the account as it is.
    #[error("the change was refused")]
    Refused {
        /// The account, unchanged.
        account: Box<Account>,
        /// Why.
        #[source]
        reason: ChangeRefused,
    },
    /// The rules refused a cancellation; the account as it is.
    #[error("the cancellation was refused")]
    CancelRefused {
        /// The account, unchanged.
        account: Box<Account>,
        /// Why.
        #[source]
        reason: CancelRefused,
    },
    /// The shop's receipt was booked before.
    #[error("the reference is taken")]
    ReferenceTaken,
    /// The account is not in a state that the client named.
    #[error("the account has changed")]
    PreconditionFailed,
    /// The command came under a key that stands in its way.
    #[error("the command is not carried out")]
    Once(#[source] OnceError),
    /// The database failed; nothing was changed unless the commit itself was cut off.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for TransactError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<PreconditionFailed> for TransactError {
    fn from(_: PreconditionFailed) -> Self {
        Self::PreconditionFailed
    }
}

impl From<OnceError> for TransactError {
    fn from(error: OnceError) -> Self {
        Self::Once(error)
    }
}

impl From<AppendError> for TransactError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::ReferenceTaken => Self::ReferenceTaken,
            AppendError::Database(error) => Self::Database(error),
        }
    }
}

/// Carries out a command on a member's open account, unless that was done before, and tells the relay. A dry run does all
/// of it and takes it back. `record` makes the text that gives the answer again.
///
/// # Errors
/// [`TransactError`]
pub async fn transact(
    pool: &PgPool,
    relay: &Wake,
    terms: &Terms,
    request: Request<'_>,
    provenance: &Provenance,
    now: DateTime<Utc>,
    record: impl FnOnce(&Done) -> String,
) -> Result<Performed, TransactError> {
    let mut tx = pool.begin().await?;
    let mut after = AfterCommit::default();
    let origin = Origin { provenance, cause: None, now };
    let performed = perform_in_tx(&mut tx, terms, request, origin, record, &mut after).await;
    match &performed {
        Ok(Performed::Now(_)) if !request.is_dry_run => {
            tx.commit().await?;
            after.run();
            relay.wake();
        }
        // At once, not when the connection is used next: the next request may come with the same key.
        Ok(_) | Err(_) => tx.rollback().await?,
    }
    performed
}

async fn perform_in_tx(
    tx: &mut PgConnection,
    terms: &Terms,
    request: Request<'_>,
    origin: Origin<'_>,
    record: impl FnOnce(&Done) -> String,
    after: &mut AfterCommit,
) -> Result<Performed, TransactError> {
    if request.is_dry_run || !request.once.has_key() {
        return Ok(Performed::Now(Box::new(transact_in_tx(tx, terms, request, origin, after).await?)));
    }
    // A memberId can be used again; what was done for a former membership is nothing to this one.
    let account = accounts::find_open(tx, request.member_id).await?.ok_or(TransactError::NotFound)?;
    let once = request.once.within(account.membership_id.0.as_bytes());
    if let Some(answer) = once.begin_in_tx(tx).await? {
        return Ok(Performed::Before(answer));
    }
    let done = transact_in_tx(tx, terms, request, origin, after).await?;
    if done.account.membership_id != account.membership_id {
        return Err(TransactError::NotFound);
    }
    once.record_in_tx(tx, || record(&done)).await?;
    Ok(Performed::Now(Box::new(done)))
}

async fn transact_in_tx(
    tx: &mut PgConnection,
    terms: &Terms,
    request: Request<'_>,
    origin: Origin<'_>,
    after: &mut AfterCommit,
) -> Result<Done, TransactError> {
    let account = lock_open_in_tx(tx, request.member_id).await?;
    let mut account = account.ok_or(TransactError::NotFound)?;
    request.conditions.require(&etag(&account, origin.now))?;
    expire_in_tx(tx, &mut account, origin, after).await?;
    let booking = decide_in_tx(tx, terms, &mut account, request.command, origin.now).await?;
    let stored = book_in_tx(tx, &mut account, &booking, request.remarks, origin, after).await?;
    let mut transaction = transaction(&booking, &stored, request.remarks, origin);
    if request.is_dry_run {
        transaction.transaction_id = None;
        let is_new = |it: &&mut Movement| it.lot_id.is_some_and(|id| stored.lot_ids.contains(&id));
        transaction.lots.iter_mut().filter(is_new).for_each(|movement| movement.lot_id = None);
    }
    Ok(Done { account, transaction })
}

async fn decide_in_tx(
    tx: &mut PgConnection,
    terms: &Terms,
    account: &mut Account,
    command: Command,
    now: DateTime<Utc>,
) -> Result<Booking, TransactError> {
    let until = terms.validity.of_earning(now);
    let decided = match command {
        Command::Change(change, expires_at) => account.change(change, now, expires_at.unwrap_or(until)),
        Command::Adjust(change) => account.adjust(change, now, until),
        Command::Cancel(transaction_id, amount) => {
            let original = ledger::original_in_tx(tx, account.membership_id, transaction_id).await?;
            let original = original.ok_or(TransactError::TransactionNotFound)?;
            let grace_until = terms.validity.of_grace(now);
            let cancelled = account.cancel(&original, amount, now, grace_until, terms.spent);
            return cancelled.map_err(|reason| TransactError::CancelRefused {
                account: Box::new(account.clone()),
                reason,
            });
        }
    };
    decided.map_err(|reason| TransactError::Refused { account: Box::new(account.clone()), reason })
}

fn transaction(booking: &Booking, stored: &Stored, remarks: Remarks<'_>, origin: Origin<'_>) -> Transaction {
    let parts = parts(booking, stored).into_iter();
    Transaction {
        transaction_id: Some(stored.transaction_id),
        entry_type: booking.entry_type,
        amount: booking.amount,
        balance_after: booking.balance_after.get(),
        reference: remarks.reference.map(str::to_owned),
        reason: remarks.reason.map(str::to_owned),
        refers_to: booking.refers_to,
        actor: origin.provenance.actor.clone(),
        occurred_at: origin.now,
        lots: parts.map(movement).collect(),
    }
}

const fn movement(part: LotPart) -> Movement {
    Movement { lot_id: Some(part.lot_id), points: part.points, expires_at: part.expires_at }
}
