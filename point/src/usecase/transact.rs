//! Earn, use, cancel or adjust points.

mod group;

use std::sync::Arc;

use chassis::conditional::{Conditions, ETag, PreconditionFailed};
use chassis::group_transaction::{GroupPerformed, GroupTransaction, GroupTransactions, Locking};
use chassis::idempotency::{Once, OnceError};
use chrono::{DateTime, TimeDelta, Utc};
use shared_events::delivery::{AfterCommit, Wake};
use shared_events::event::MemberStatus;
use shared_events::{MemberId, Provenance};
use sqlx::{PgConnection, PgPool};

use crate::domain::{
    Account, AccountState, CancelRefused, ChangeRefused, PointChange, Points, SpentPolicy, TransactionId,
    Validity,
};
use crate::store::history::Transaction;
use crate::store::ledger::Remarks;

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
#[derive(Debug)]
pub struct Request {
    /// Whose account.
    pub member_id: MemberId,
    /// What is to be done.
    pub command: Command,
    /// What is said about it.
    pub remarks: Remarks,
    /// Whether only to tell what would happen.
    pub is_dry_run: bool,
    /// Lets it take effect once.
    pub once: Once,
    /// In which state the account has to be.
    pub conditions: Conditions,
    /// Who asks.
    pub provenance: Provenance,
    /// When.
    pub now: DateTime<Utc>,
}

/// Makes the text that gives the answer again; `None`: it is not to be given again.
type Record = Box<dyn Fn(Result<&Done, &TransactError>) -> Option<String> + Send + Sync>;

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
    /// The status of the member.
    pub member_status: Option<MemberStatus>,
    /// The transaction; after a dry run it has no id, and neither have its new lots.
    pub transaction: Transaction,
}

/// What became of a command.
#[derive(Clone, Debug)]
pub enum Performed {
    /// It was carried out.
    Now(Box<Done>),
    /// It had been decided before: what was recorded then.
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
    /// The database failed, for all commands of a group; nothing was changed unless the commit itself was cut off.
    #[error("the database failed")]
    Database(#[source] Arc<sqlx::Error>),
}

impl TransactError {
    /// Whether the rules decided so. Otherwise it was not looked at.
    const fn is_decision(&self) -> bool {
        match self {
            // A fault of the request, as the other wrong fields are.
            Self::Refused { reason: ChangeRefused::BadExpiry, .. } => false,
            Self::TransactionNotFound
            | Self::Refused { .. }
            | Self::CancelRefused { .. }
            | Self::ReferenceTaken => true,
            Self::NotFound | Self::PreconditionFailed | Self::Once(_) | Self::Database(_) => false,
        }
    }
}

impl From<sqlx::Error> for TransactError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Arc::new(error))
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

/// Carries out commands, those that come at the same moment in one transaction.
#[derive(Clone, Debug)]
pub struct Transactor(GroupTransactions<Commands>);

impl Transactor {
    /// On the programme's terms. The relay is told of what was done.
    #[must_use]
    pub fn new(pool: PgPool, relay: Wake, terms: Terms) -> Self {
        Self(GroupTransactions::new(pool, Commands { relay, terms }))
    }

    /// Carries out a command on a member's open account, unless that was decided before. A dry run does all of it but writing
    /// it down. What becomes of other commands has no influence on this one. `record` makes the text that gives the answer
    /// again, or none where it is not to be given again.
    ///
    /// # Errors
    /// [`TransactError`]
    pub async fn transact(
        &self,
        request: Request,
        record: impl Fn(Result<&Done, &TransactError>) -> Option<String> + Send + Sync + 'static,
    ) -> Result<Performed, TransactError> {
        self.0.carry_out((request, Box::new(record))).await
    }
}

/// Commands as they are carried out in groups.
struct Commands {
    relay: Wake,
    terms: Terms,
}

impl GroupTransaction for Commands {
    type Item = (Request, Record);
    type Outcome = Result<Performed, TransactError>;
    type AfterCommit = AfterCommit;

    fn key((request, _): &Self::Item) -> u64 {
        request.member_id.get().unsigned_abs()
    }

    async fn perform_in_tx(
        &self,
        tx: &mut PgConnection,
        commands: &[Self::Item],
        locking: Locking,
    ) -> sqlx::Result<GroupPerformed<Self>> {
        group::perform_in_tx(tx, &self.terms, commands, locking).await
    }

    fn committed(&self, after: AfterCommit) {
        after.run();
        self.relay.wake();
    }

    fn failed(error: Arc<sqlx::Error>) -> Self::Outcome {
        Err(TransactError::Database(error))
    }
}
