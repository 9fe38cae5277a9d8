//! Earn, use, cancel or adjust points.

mod group;

use std::collections::HashMap;
use std::sync::Arc;

use chassis::conditional::{Conditions, ETag, PreconditionFailed};
use chassis::group_commit::{GroupCommit, Waiting};
use chassis::idempotency::{Once, OnceError};
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use shared_events::delivery::{AfterCommit, Wake};
use shared_events::event::MemberStatus;
use shared_events::{MemberId, Provenance};
use sqlx::PgPool;

use self::group::{Locking, Verdict, perform_in_tx};
use crate::domain::{
    Account, AccountState, CancelRefused, ChangeRefused, PointChange, Points, SpentPolicy, TransactionId,
    Validity,
};
use crate::store::history::Transaction;
use crate::store::ledger::Remarks;

/// How many groups of commands may be under way at a time: while one waits for the disk, the next ones are decided.
const LANES: usize = 2;
/// Most commands of one group.
const LARGEST_GROUP: usize = 256;

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

/// Makes the text that gives the answer again.
type Record = Box<dyn Fn(&Done) -> String + Send + Sync>;

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
    /// The database failed, for all commands of a group; nothing was changed unless the commit itself was cut off.
    #[error("the database failed")]
    Database(#[source] Arc<sqlx::Error>),
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
pub struct Transactor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    relay: Wake,
    terms: Terms,
    groups: GroupCommit<(Request, Record), Result<Performed, TransactError>>,
}

type Group = Vec<Waiting<(Request, Record), Result<Performed, TransactError>>>;

impl Transactor {
    /// On the programme's terms. The relay is told of what was done.
    #[must_use]
    pub fn new(pool: PgPool, relay: Wake, terms: Terms) -> Self {
        Self(Arc::new(Shared { pool, relay, terms, groups: GroupCommit::new(LANES, LARGEST_GROUP) }))
    }

    /// Carries out a command on a member's open account, unless that was done before. A dry run does all of it but writing
    /// it down. What becomes of other commands has no influence on this one. `record` makes the text that gives the answer
    /// again.
    ///
    /// # Errors
    /// [`TransactError`]
    pub async fn transact(
        &self,
        request: Request,
        record: impl Fn(&Done) -> String + Send + Sync + 'static,
    ) -> Result<Performed, TransactError> {
        let lane = request.member_id.get().unsigned_abs();
        let item = (request, Box::new(record) as Record);
        let work = |group| Arc::clone(&self.0).carry_out(group, Locking::OnlyFree);
        let answer = self.0.groups.submit(lane, item, work).await;
        answer.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))
    }
}

impl Shared {
    /// Carries out a group and answers each command.
    fn carry_out(self: Arc<Self>, group: Group, locking: Locking) -> BoxFuture<'static, ()> {
        async move {
            let (requests, answers): (Vec<_>, Vec<_>) =
                group.into_iter().map(|Waiting { item, answer }| (item, answer)).unzip();
            let performed = self.perform(&requests, locking).await;
            let group = requests.into_iter().zip(answers);
            match performed {
                Ok(verdicts) => {
                    let mut later: HashMap<MemberId, Group> = HashMap::new();
                    for ((item, answer), verdict) in group.zip(verdicts) {
                        match verdict {
                            Verdict::Now(performed) => answer.give(performed),
                            Verdict::Later => {
                                later.entry(item.0.member_id).or_default().push(Waiting { item, answer });
                            }
                        }
                    }
                    later.into_values().for_each(|group| self.carry_out_apart(group));
                }
                // Which command's fault it was shows when each has a transaction of its own.
                Err(GroupError::Refused(_)) if group.len() > 1 => {
                    group.for_each(|(item, answer)| self.carry_out_apart(vec![Waiting { item, answer }]));
                }
                Err(GroupError::Refused(error) | GroupError::Failed(error)) => {
                    let error = Arc::new(error);
                    group.for_each(|(_, answer)| {
                        answer.give(Err(TransactError::Database(Arc::clone(&error))))
                    });
                }
            }
        }
        .boxed()
    }

    /// Carries out commands on one account, which may have to be waited for; nobody else waits meanwhile.
    fn carry_out_apart(self: &Arc<Self>, group: Group) {
        tokio::spawn(Arc::clone(self).carry_out(group, Locking::Waiting));
    }

    async fn perform(
        &self,
        requests: &[(Request, Record)],
        locking: Locking,
    ) -> Result<Vec<Verdict>, GroupError> {
        let mut tx = self.pool.begin().await.map_err(GroupError::Failed)?;
        let mut after = AfterCommit::default();
        match perform_in_tx(&mut tx, &self.terms, requests, locking, &mut after).await {
            Ok(performed) if performed.has_written => {
                tx.commit().await.map_err(GroupError::Failed)?;
                after.run();
                self.relay.wake();
                Ok(performed.verdicts)
            }
            // At once, not when the connection is used next: the next request may come with the same key.
            undone => {
                tx.rollback().await.map_err(GroupError::Failed)?;
                undone.map(|performed| performed.verdicts).map_err(|error| match error {
                    error @ sqlx::Error::Database(_) => GroupError::Refused(error),
                    error => GroupError::Failed(error),
                })
            }
        }
    }
}

/// Why a group was not carried out.
enum GroupError {
    /// Postgres refused a statement, and nothing was done.
    Refused(sqlx::Error),
    /// The database could not be used. Whether something was done is unknown where the commit itself was cut off, so it must
    /// not be done again.
    Failed(sqlx::Error),
}
