//! Group commit: what is asked for while a transaction is under way, or soon after its start, is carried out together in the
//! next one. So a commit, and each round trip to Postgres, is shared the more widely the more is asked for, and nothing waits
//! while little is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, iter};

use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::pace::Pace;

/// After it a group is given up: on a connection that leads nowhere it would hold up its lane for a quarter of an hour.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);

/// Forms groups. There are lanes, each with one group under way at a time; what must not be carried out at the same moment
/// belongs in the same lane.
pub struct GroupCommit<I, O> {
    lanes: Box<[Lane<I, O>]>,
    largest: usize,
    pace: Pace,
}

struct Lane<I, O> {
    waiting: Mutex<VecDeque<Waiting<I, O>>>,
    turn: Arc<AsyncMutex<()>>,
}

/// Something that is asked for, and the way to who asks.
#[derive(Debug)]
pub struct Waiting<I, O> {
    /// What is asked for.
    pub item: I,
    /// Takes the answer.
    pub answer: Answer<O>,
}

/// Takes the answer to who asks. Dropped without one, it tells that the item was [`Abandoned`].
#[derive(Debug)]
pub struct Answer<O>(oneshot::Sender<O>);

impl<O> Answer<O> {
    /// Gives the answer. Who does not wait for it any more does not get it.
    pub fn give(self, answer: O) {
        drop(self.0.send(answer));
    }
}

/// The group ended without an answer: it panicked, or took too long. Whether the item was carried out is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the group ended without an answer")]
pub struct Abandoned;

impl<I: Send + 'static, O: Send + 'static> GroupCommit<I, O> {
    /// With so many lanes, at least one, and groups of `largest` items at most, which follow each other in a lane at this pace.
    #[must_use]
    pub fn new(lanes: usize, largest: usize, pace: Pace) -> Self {
        let lane = || Lane { waiting: Mutex::default(), turn: Arc::default() };
        Self { lanes: iter::repeat_with(lane).take(lanes.max(1)).collect(), largest, pace }
    }

    /// Hands an item over and waits for its answer. Who is first while nothing is under way in the lane of `key` has `work`
    /// carry out all that waits there, as a task of its own: it goes on when who asked first leaves. Who has left before
    /// the group began is not in it.
    ///
    /// # Errors
    /// [`Abandoned`]
    pub async fn submit<W>(
        &self,
        key: u64,
        item: I,
        work: impl Fn(Vec<Waiting<I, O>>) -> W,
    ) -> Result<O, Abandoned>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let lane = self.lane(key);
        let (answer, mut answered) = oneshot::channel();
        lane.push(Waiting { item, answer: Answer(answer) });
        loop {
            let turn = tokio::select! {
                biased;
                answer = &mut answered => return answer.map_err(|_| Abandoned),
                turn = Arc::clone(&lane.turn).lock_owned() => turn,
            };
            let group = lane.take(self.largest);
            if group.is_empty() {
                // Somebody else's group has it.
                drop(turn);
                return answered.await.map_err(|_| Abandoned);
            }
            let next_start = Instant::now() + self.pace.after(group.len());
            let work = timeout(LONGEST, work(group));
            tokio::spawn(async move {
                if work.await.is_err() {
                    tracing::error!("a group was given up: it took over {} s", LONGEST.as_secs());
                }
                // The timer goes by whole milliseconds: it would hold up what need not wait.
                if Instant::now() < next_start {
                    sleep_until(next_start).await;
                }
                drop(turn);
            });
        }
    }

    fn lane(&self, key: u64) -> &Lane<I, O> {
        let lanes = u64::try_from(self.lanes.len()).unwrap_or(u64::MAX);
        let index = usize::try_from(key % lanes).unwrap_or_default();
        &self.lanes[index]
    }
}

impl<I, O> Lane<I, O> {
    fn push(&self, waiting: Waiting<I, O>) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(waiting);
    }

    fn take(&self, largest: usize) -> Vec<Waiting<I, O>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|waiting| !waiting.answer.0.is_closed());
        let count = waiting.len().min(largest);
        waiting.drain(..count).collect()
    }
}

impl<I, O> fmt::Debug for GroupCommit<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lanes, largest) = (self.lanes.len(), self.largest);
        f.debug_struct("GroupCommit")
            .field("lanes", &lanes)
            .field("largest", &largest)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    type Groups = Arc<Mutex<Vec<Vec<u32>>>>;

    /// Answers each item with itself, and notes the groups. Each group needs a permit.
    struct Bench {
        group_commit: Arc<GroupCommit<u32, u32>>,
        groups: Groups,
        gate: Arc<Semaphore>,
    }

    impl Bench {
        fn new(lanes: usize, largest: usize) -> Self {
            Self::paced(lanes, largest, Pace::UNBROKEN)
        }

        fn paced(lanes: usize, largest: usize, pace: Pace) -> Self {
            let group_commit = Arc::new(GroupCommit::new(lanes, largest, pace));
            Self { group_commit, groups: Groups::default(), gate: Arc::new(Semaphore::new(0)) }
        }

        fn submit(&self, key: u64, item: u32) -> tokio::task::JoinHandle<Result<u32, Abandoned>> {
            let (group_commit, groups) = (Arc::clone(&self.group_commit), Arc::clone(&self.groups));
            let gate = Arc::clone(&self.gate);
            tokio::spawn(async move {
                let work = |group: Vec<Waiting<u32, u32>>| {
                    let (groups, gate) = (Arc::clone(&groups), Arc::clone(&gate));
                    async move {
                        groups.lock().unwrap().push(group.iter().map(|waiting| waiting.item).collect());
                        gate.acquire().await.unwrap().forget();
                        for Waiting { item, answer } in group {
                            assert_ne!(item, PANICS);
                            answer.give(item);
                        }
                    }
                };
                group_commit.submit(key, item, work).await
            })
        }

        /// Waits until so many groups have begun.
        async fn began(&self, count: usize) {
            while self.groups.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        }

        /// Waits until so many wait in the lane of a key.
        async fn waits(&self, key: u64, count: usize) {
            while self.group_commit.lane(key).waiting.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        }

        fn groups(&self) -> Vec<Vec<u32>> {
            self.groups.lock().unwrap().clone()
        }
    }

    const PANICS: u32 = 99;

    async fn answers(
        asked: Vec<tokio::task::JoinHandle<Result<u32, Abandoned>>>,
    ) -> Vec<Result<u32, Abandoned>> {
        join_all(asked).await.into_iter().map(Result::unwrap).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_soon_after_the_start_of_a_group_is_the_next_one_and_who_comes_after_a_pause_does_not_wait()
     {
        let pace =
            Pace { each: Duration::from_millis(10), longest: Duration::from_millis(20), ..Pace::UNBROKEN };
        let bench = Bench::paced(1, 3, pace);
        bench.gate.add_permits(9);
        let start = Instant::now();
        assert_eq!(answers(vec![bench.submit(1, 1)]).await, [Ok(1)]);
        assert_eq!(start.elapsed(), Duration::ZERO);

        let both = vec![bench.submit(2, 2), bench.submit(3, 3)];
        assert_eq!(answers(both).await, [Ok(2), Ok(3)]);
        assert_eq!((start.elapsed().as_millis(), bench.groups()), (10, vec![vec![1], vec![2, 3]]));

        tokio::time::sleep(Duration::from_millis(20)).await;
        let after_a_pause = Instant::now();
        assert_eq!(answers(vec![bench.submit(4, 4)]).await, [Ok(4)]);
        assert_eq!(after_a_pause.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn what_comes_while_a_group_is_under_way_is_the_next_group() {
        let bench = Bench::new(1, 3);
        let mut asked = vec![bench.submit(0, 0)];
        bench.began(1).await;
        for item in 1..=4 {
            asked.push(bench.submit(0, item));
            bench.waits(0, item as usize).await;
        }
        bench.gate.add_permits(10);
        assert_eq!(answers(asked).await, (0..=4).map(Ok).collect::<Vec<_>>());
        assert_eq!(bench.groups(), [vec![0], vec![1, 2, 3], vec![4]], "three at most, in their order");
    }

    #[tokio::test]
    async fn lanes_do_not_wait_for_each_other() {
        let bench = Bench::new(2, 10);
        let asked = vec![bench.submit(0, 0), bench.submit(1, 1)];
        bench.began(2).await;
        bench.gate.add_permits(10);
        assert_eq!(answers(asked).await, [Ok(0), Ok(1)]);
    }

    #[tokio::test]
    async fn who_leaves_takes_nobody_along_and_is_left_out_of_a_group_that_has_not_begun() {
        let bench = Bench::new(1, 10);
        let first = bench.submit(0, 0);
        bench.began(1).await;
        let second = bench.submit(0, 1);
        bench.waits(0, 1).await;
        let third = bench.submit(0, 2);
        bench.waits(0, 2).await;
        for leaving in [first, second] {
            leaving.abort();
            assert!(leaving.await.unwrap_err().is_cancelled());
        }
        bench.gate.add_permits(10);
        assert_eq!(third.await.unwrap(), Ok(2));
        assert_eq!(bench.groups(), [vec![0], vec![2]]);
    }

    #[tokio::test]
    async fn a_panic_is_told_to_its_group_and_to_nobody_else() {
        let bench = Bench::new(1, 2);
        let mut asked = vec![bench.submit(0, 0)];
        bench.began(1).await;
        for (count, item) in [(1, PANICS), (2, 2), (3, 3)] {
            asked.push(bench.submit(0, item));
            bench.waits(0, count).await;
        }
        bench.gate.add_permits(10);
        assert_eq!(answers(asked).await, [Ok(0), Err(Abandoned), Err(Abandoned), Ok(3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_does_not_end_is_given_up_and_its_lane_goes_on() {
        let bench = Bench::new(1, 10);
        let stuck = bench.submit(0, 0);
        bench.began(1).await;
        let next = bench.submit(0, 1);
        assert_eq!(stuck.await.unwrap(), Err(Abandoned));
        bench.began(2).await;
        bench.gate.add_permits(1);
        assert_eq!(next.await.unwrap(), Ok(1));
    }
}
