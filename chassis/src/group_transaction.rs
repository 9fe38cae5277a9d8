//! Group transaction: what is asked for while a transaction is under way, or soon after its start, is carried out together in
//! the next one, and each gets an answer of its own. What becomes of one has no influence on the others.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use sqlx::{PgConnection, PgPool};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::group_commit::{GroupCommit, LONGEST, Waiting};
use crate::pace::Pace;

/// How many groups may be under way at a time: with more of them each is smaller, and costs nearly as much.
const LANES: usize = 1;
const LARGEST_GROUP: usize = 256;
/// At which groups follow each other.
const PACE: Pace =
    Pace { shortest: Duration::ZERO, each: Duration::from_millis(1), longest: Duration::from_millis(12) };
/// How many items of a group that was refused are tried at a time.
const TRIED_AT_A_TIME: usize = 2;
/// One connection in so many may belong to somebody who waits for a lock, for each kind of work.
const WAITING_SHARE: usize = 4;
/// Nobody waits for long for a lock that somebody else's item needs: then each item gets a transaction of its own, and those that
/// have to wait do so alone. It also ends a deadlock sooner than Postgres does.
const BEGIN_TOGETHER: &str = "BEGIN; SET LOCAL lock_timeout = '200ms'";

/// What is carried out in groups.
pub trait GroupTransaction: Send + Sync + 'static {
    /// What is asked for.
    type Item: Send + Sync + 'static;
    /// What becomes of it.
    type Outcome: Send + 'static;
    /// What is to be done after the commit.
    type AfterCommit: Send;

    /// What this item and others are about: those with the same key are never carried out at the same moment by one replica,
    /// unless one of them has to wait for a lock.
    fn key(item: &Self::Item) -> u64;

    /// Carries out items in their order. What a refused one leaves behind is committed: its refusal, if anything.
    fn perform_in_tx(
        &self,
        tx: &mut PgConnection,
        items: &[Self::Item],
        locking: Locking,
    ) -> impl Future<Output = sqlx::Result<GroupPerformed<Self>>> + Send;

    /// Called right after the commit.
    fn committed(&self, after: Self::AfterCommit);

    /// The outcome where the database failed, maybe for all items of a group. Nothing was changed, unless the commit itself was
    /// cut off.
    fn failed(error: Arc<sqlx::Error>) -> Self::Outcome;
}

/// What is done about rows that somebody else has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// Their items are left for [later](Verdict::Later), or waited for a moment.
    OnlyFree,
    /// They are waited for. For items with the same key.
    Waiting,
}

/// What became of an item.
#[derive(Debug)]
pub enum Verdict<O> {
    /// It was decided.
    Now(O),
    /// It has to be carried out in a transaction to come, apart from those with other keys.
    Later,
}

/// What became of a group.
pub struct GroupPerformed<T: GroupTransaction + ?Sized> {
    /// Of each item.
    pub verdicts: Vec<Verdict<T::Outcome>>,
    /// `None` where there is nothing to commit.
    pub written: Option<T::AfterCommit>,
}

/// Carries out items, those that come at the same moment in one transaction.
pub struct GroupTransactions<T: GroupTransaction>(Arc<Shared<T>>);

struct Shared<T: GroupTransaction> {
    pool: PgPool,
    work: T,
    groups: GroupCommit<T::Item, T::Outcome>,
    may_wait: Semaphore,
}

type Group<T> = Vec<Waiting<<T as GroupTransaction>::Item, <T as GroupTransaction>::Outcome>>;

impl<T: GroupTransaction> GroupTransactions<T> {
    /// Has `work` carry out the items.
    pub fn new(pool: PgPool, work: T) -> Self {
        let connections = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let may_wait = Semaphore::new((connections / WAITING_SHARE).clamp(1, Semaphore::MAX_PERMITS));
        Self(Arc::new(Shared { pool, work, groups: GroupCommit::new(LANES, LARGEST_GROUP, PACE), may_wait }))
    }

    /// Carries out an item; it goes on when who asked leaves. A group that ended without an answer has
    /// [failed](GroupTransaction::failed).
    pub async fn carry_out(&self, item: T::Item) -> T::Outcome {
        let work = |group| Arc::clone(&self.0).carry_out(group, Locking::OnlyFree);
        let outcome = self.0.groups.submit(T::key(&item), item, work).await;
        outcome.unwrap_or_else(|_| T::failed(Arc::new(sqlx::Error::WorkerCrashed)))
    }
}

impl<T: GroupTransaction> Shared<T> {
    /// Carries out a group and answers each item.
    fn carry_out(self: Arc<Self>, group: Group<T>, locking: Locking) -> BoxFuture<'static, ()> {
        async move {
            let (items, answers): (Vec<_>, Vec<_>) =
                group.into_iter().map(|Waiting { item, answer }| (item, answer)).unzip();
            let performed = self.perform(&items, locking).await;
            let group = items.into_iter().zip(answers);
            match performed {
                Ok(verdicts) => {
                    let mut later: HashMap<u64, Group<T>> = HashMap::new();
                    for ((item, answer), verdict) in group.zip(verdicts) {
                        match verdict {
                            Verdict::Now(outcome) => answer.give(outcome),
                            Verdict::Later => {
                                later.entry(T::key(&item)).or_default().push(Waiting { item, answer });
                            }
                        }
                    }
                    later.into_values().for_each(|group| self.carry_out_waiting(group));
                }
                // Whose fault it was shows when each has a transaction of its own.
                Err(GroupError::Refused(_)) if group.len() > 1 => {
                    let alone = group.map(|(item, answer)| vec![Waiting { item, answer }]);
                    match locking {
                        Locking::OnlyFree => self.carry_out_one_by_one(alone.collect()),
                        Locking::Waiting => alone.for_each(|group| self.carry_out_waiting(group)),
                    }
                }
                // It may be that a lock was not to be had.
                Err(GroupError::Refused(_)) if locking == Locking::OnlyFree => {
                    self.carry_out_waiting(group.map(|(item, answer)| Waiting { item, answer }).collect());
                }
                Err(GroupError::Refused(error) | GroupError::Failed(error)) => {
                    let error = Arc::new(error);
                    group.for_each(|(_, answer)| answer.give(T::failed(Arc::clone(&error))));
                }
            }
        }
        .boxed()
    }

    /// Carries out the items of a group that was refused; the next group does not wait for that.
    fn carry_out_one_by_one(self: &Arc<Self>, alone: Vec<Group<T>>) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let carry_out = |group| in_time(Arc::clone(&shared).carry_out(group, Locking::OnlyFree));
            stream::iter(alone).for_each_concurrent(TRIED_AT_A_TIME, carry_out).await;
        });
    }

    /// Carries out items that may have to wait for a lock; few do at a time, so that there are connections for the others.
    fn carry_out_waiting(self: &Arc<Self>, group: Group<T>) {
        let shared = Arc::clone(self);
        tokio::spawn(in_time(async move {
            let _permit = shared.may_wait.acquire().await;
            Arc::clone(&shared).carry_out(group, Locking::Waiting).await;
        }));
    }

    async fn perform(
        &self,
        items: &[T::Item],
        locking: Locking,
    ) -> Result<Vec<Verdict<T::Outcome>>, GroupError> {
        let begun = match locking {
            Locking::OnlyFree => self.pool.begin_with(BEGIN_TOGETHER).await,
            Locking::Waiting => self.pool.begin().await,
        };
        let mut tx = begun.map_err(GroupError::Failed)?;
        match self.work.perform_in_tx(&mut tx, items, locking).await {
            Ok(GroupPerformed { verdicts, written: Some(after) }) => {
                tx.commit().await.map_err(GroupError::Failed)?;
                self.work.committed(after);
                Ok(verdicts)
            }
            // At once, not when the connection is used next: the next request may come with the same key.
            undone => {
                tx.rollback().await.map_err(GroupError::Failed)?;
                undone.map(|performed| performed.verdicts).map_err(GroupError::Refused)
            }
        }
    }
}

/// Gives up what does not end; who asked is told so.
async fn in_time(work: impl Future<Output = ()>) {
    if timeout(LONGEST, work).await.is_err() {
        tracing::error!("a transaction was given up: it took over {} s", LONGEST.as_secs());
    }
}

/// Why a group was not carried out.
enum GroupError {
    /// Postgres refused a statement, or gave an answer that makes no sense, and nothing was done.
    Refused(sqlx::Error),
    /// The database could not be used. Whether something was done is unknown where the commit itself was cut off, so it must
    /// not be done again.
    Failed(sqlx::Error),
}

impl<T: GroupTransaction> Clone for GroupTransactions<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: GroupTransaction> fmt::Debug for GroupTransactions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupTransactions").field("groups", &self.0.groups).finish_non_exhaustive()
    }
}
