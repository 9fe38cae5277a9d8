//! Group read: what is looked up while a statement is under way is looked up together by the next one. Each answer is read
//! after it was asked for, so nobody sees anything older than by a statement of one's own.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use sqlx::PgPool;

use crate::group_commit::{GroupCommit, Waiting};
use crate::pace::Pace;

/// How many statements may be under way at a time.
const LANES: usize = 2;
const LARGEST_GROUP: usize = 256;

/// Looks up those of some keys that are there.
type Lookup<K, T> = dyn Fn(PgPool, Vec<K>) -> BoxFuture<'static, sqlx::Result<HashMap<K, T>>> + Send + Sync;

/// What there is under a key. A failure may be that of a whole group.
type Found<T> = Result<Option<T>, Arc<sqlx::Error>>;

/// Looks things up by a key.
pub struct GroupRead<K, T> {
    pool: PgPool,
    lookup: Arc<Lookup<K, T>>,
    groups: Arc<GroupCommit<K, Found<T>>>,
}

impl<K, T> GroupRead<K, T>
where
    K: Copy + Eq + Hash + Into<i64> + Send + Sync + 'static,
    T: Clone + Send + 'static,
{
    /// With what looks up some keys with one statement.
    pub fn new<F>(pool: PgPool, lookup: impl Fn(PgPool, Vec<K>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = sqlx::Result<HashMap<K, T>>> + Send + 'static,
    {
        let lookup = Arc::new(move |pool, keys| -> BoxFuture<'static, _> { Box::pin(lookup(pool, keys)) });
        Self { pool, lookup, groups: Arc::new(GroupCommit::new(LANES, LARGEST_GROUP, Pace::UNBROKEN)) }
    }

    /// What there is under the key.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn find(&self, key: K) -> Result<Option<T>, Arc<sqlx::Error>> {
        let work = |group| look_up(self.pool.clone(), Arc::clone(&self.lookup), group);
        let found = self.groups.submit(key.into().unsigned_abs(), key, work).await;
        found.unwrap_or_else(|_| Err(Arc::new(sqlx::Error::WorkerCrashed)))
    }
}

async fn look_up<K, T>(pool: PgPool, lookup: Arc<Lookup<K, T>>, group: Vec<Waiting<K, Found<T>>>)
where
    K: Copy + Eq + Hash,
    T: Clone,
{
    let keys: Vec<K> = group.iter().map(|waiting| waiting.item).collect();
    match lookup(pool.clone(), keys).await {
        Ok(found) => group.into_iter().for_each(|Waiting { item, answer }| {
            answer.give(Ok(found.get(&item).cloned()));
        }),
        // Whose row cannot be understood shows when each is looked up by itself. All else is no fault of a row.
        Err(sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }) if group.len() > 1 => {
            let alone = group.into_iter().map(|waiting| {
                let lookup = lookup(pool.clone(), vec![waiting.item]);
                async move {
                    let found = lookup.await.map(|mut found| found.remove(&waiting.item));
                    waiting.answer.give(found.map_err(Arc::new));
                }
            });
            join_all(alone).await;
        }
        Err(error) => {
            let error = Arc::new(error);
            group.into_iter().for_each(|Waiting { answer, .. }| answer.give(Err(Arc::clone(&error))));
        }
    }
}

impl<K, T> Clone for GroupRead<K, T> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), lookup: Arc::clone(&self.lookup), groups: Arc::clone(&self.groups) }
    }
}

impl<K, T> fmt::Debug for GroupRead<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupRead").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const BROKEN: i64 = 13;
    const OUTAGE: i64 = 17;

    /// Finds the even keys, and notes what was looked up at once.
    fn evens(looked_up: &Arc<Mutex<Vec<Vec<i64>>>>) -> GroupRead<i64, String> {
        let looked_up = Arc::clone(looked_up);
        GroupRead::new(PgPool::connect_lazy("postgres://nowhere").unwrap(), move |_, mut keys: Vec<i64>| {
            keys.sort_unstable();
            looked_up.lock().unwrap().push(keys.clone());
            async move {
                tokio::task::yield_now().await;
                if keys.contains(&OUTAGE) {
                    return Err(sqlx::Error::PoolTimedOut);
                }
                if keys.contains(&BROKEN) {
                    return Err(sqlx::Error::Decode("broken".into()));
                }
                let evens = keys.into_iter().filter(|key| key % 2 == 0);
                Ok(evens.map(|key| (key, key.to_string())).collect())
            }
        })
    }

    #[tokio::test]
    async fn each_gets_what_is_under_its_own_key_and_those_who_wait_share_a_lookup() {
        let looked_up = Arc::default();
        let read = evens(&looked_up);
        let keys = [2, 4, 4, 6, 1_000, 0, 8];
        let found = join_all(keys.map(|key| read.find(key))).await;
        for (key, found) in keys.into_iter().zip(found) {
            assert_eq!(found.unwrap(), Some(key.to_string()));
        }
        assert_eq!(read.find(7).await.unwrap(), None);
        let looked_up = looked_up.lock().unwrap();
        assert_eq!(looked_up.first(), Some(&vec![2]));
        assert_eq!(looked_up.len(), 3, "{looked_up:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_nobody_elses_matter() {
        let read = evens(&Arc::default());
        let found = join_all([1, 3, BROKEN, 4, 2].map(|key| read.find(key))).await;
        let is_error: Vec<bool> = found.iter().map(Result::is_err).collect();
        assert_eq!(is_error, [false, false, true, false, false]);
        assert_eq!(found[4].as_ref().unwrap().as_deref(), Some("2"));
    }

    #[tokio::test]
    async fn an_outage_is_everybodys_and_is_not_asked_for_again() {
        let looked_up = Arc::default();
        let read = evens(&looked_up);
        let found = join_all([1, 3, OUTAGE, 5].map(|key| read.find(key))).await;
        let is_error: Vec<bool> = found.iter().map(Result::is_err).collect();
        assert_eq!(is_error, [false, true, true, true]);
        assert_eq!(*looked_up.lock().unwrap(), [vec![1], vec![3, 5, OUTAGE]]);
    }
}
