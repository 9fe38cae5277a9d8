//! Group transaction: what is asked for while a transaction is under way is carried out together in the next one, and each
//! gets an answer of its own. What becomes of one has no influence on the others.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::{PgConnection, PgPool};

use crate::group_commit::{GroupCommit, Waiting};

/// How many transactions may be under way at a time: while one waits for the disk, the next one is decided.
const LANES: usize = 2;
const LARGEST_GROUP: usize = 256;
/// Nobody waits for a lock that somebody else's item needs: after so short a wait each item gets a transaction of its own, and
/// those that have to wait do so alone. It also ends a deadlock sooner than Postgres does.
const BEGIN_TOGETHER: &str = "BEGIN; SET LOCAL lock_timeout = '200ms'";

/// What is carried out in groups.
pub trait GroupTransaction: Send + Sync + 'static {
    /// What is asked for.
    type Item: Send + Sync + 'static;
    /// What becomes of it.
    type Outcome: Send + 'static;
    /// What is to be done after the commit.
    type AfterCommit: Send;

    /// What this item and others are about: those with the same key are never carried out at the same moment by one service,
    /// unless one of them has to wait for a lock.
    fn key(item: &Self::Item) -> u64;

    /// Carries out items in their order. What a refused one leaves behind is committed, so it should be nothing.
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
    /// Their items are left for [later](Verdict::Later), or waited for a moment: a group waits for nobody.
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
}

type Group<T> = Vec<Waiting<<T as GroupTransaction>::Item, <T as GroupTransaction>::Outcome>>;

impl<T: GroupTransaction> GroupTransactions<T> {
    /// Has `work` carry out the items.
    pub fn new(pool: PgPool, work: T) -> Self {
        Self(Arc::new(Shared { pool, work, groups: GroupCommit::new(LANES, LARGEST_GROUP) }))
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
                    later.into_values().for_each(|group| self.carry_out_apart(group));
                }
                // Whose fault it was shows when each has a transaction of its own, which may wait for a lock.
                Err(GroupError::Refused(_)) if group.len() > 1 || locking == Locking::OnlyFree => {
                    group.for_each(|(item, answer)| self.carry_out_apart(vec![Waiting { item, answer }]));
                }
                Err(GroupError::Refused(error) | GroupError::Failed(error)) => {
                    let error = Arc::new(error);
                    group.for_each(|(_, answer)| answer.give(T::failed(Arc::clone(&error))));
                }
            }
        }
        .boxed()
    }

    /// Carries out items that may have to wait for a lock; nobody else waits meanwhile.
    fn carry_out_apart(self: &Arc<Self>, group: Group<T>) {
        tokio::spawn(Arc::clone(self).carry_out(group, Locking::Waiting));
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
