//! A check that many ask for and few carry out.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a success is good for.
const FRESH: Duration = Duration::from_millis(500);

/// A check whose outcome is shared, with what it keeps from one time to the next. However many ask at once, nobody waits
/// for more than the check that is going on and one of its own.
#[derive(Debug, Default)]
pub(super) struct SharedCheck<T>(Mutex<State<T>>);

#[derive(Debug, Default)]
struct State<T> {
    kept: T,
    last: Option<Outcome>,
}

#[derive(Debug, Clone, Copy)]
struct Outcome {
    is_success: bool,
    at: Instant,
}

impl<T> SharedCheck<T> {
    /// Whether the check passes. A fresh success counts, and so does any outcome of a check that ended while this
    /// waited for it.
    pub(super) async fn pass(&self, check: impl AsyncFnOnce(&mut T) -> bool) -> bool {
        let asked = Instant::now();
        let mut state = self.0.lock().await;
        if let Some(last) = state.last
            && (last.at > asked || (last.is_success && last.at.elapsed() < FRESH))
        {
            return last.is_success;
        }
        let is_success = check(&mut state.kept).await;
        state.last = Some(Outcome { is_success, at: Instant::now() });
        is_success
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use tokio::time::sleep;

    use super::*;

    const A_WHILE: Duration = Duration::from_millis(900);

    /// Counts the checks, each of which takes a while.
    async fn ask(check: &SharedCheck<usize>, outcome: bool) -> bool {
        let counted = async |count: &mut usize| {
            *count += 1;
            sleep(A_WHILE).await;
            outcome
        };
        check.pass(counted).await
    }

    async fn count(check: &SharedCheck<usize>) -> usize {
        check.0.lock().await.kept
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_at_once_wait_for_one_check() {
        for outcome in [true, false] {
            let (check, began) = (SharedCheck::default(), Instant::now());

            let outcomes = join_all((0..1_000).map(|_| ask(&check, outcome))).await;

            assert!(outcomes.into_iter().all(|each| each == outcome));
            assert_eq!((count(&check).await, began.elapsed()), (1, A_WHILE));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_is_good_for_a_moment() {
        let check = SharedCheck::default();
        assert!(ask(&check, true).await);

        sleep(FRESH / 2).await;
        assert!(ask(&check, false).await);
        assert_eq!(count(&check).await, 1);

        sleep(FRESH / 2).await;
        assert!(!ask(&check, false).await);
        assert_eq!(count(&check).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_not_believed_by_who_asks_later() {
        let check = SharedCheck::default();
        assert!(!ask(&check, false).await);

        assert!(ask(&check, true).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_is_given_up_is_done_by_the_next() {
        let check = SharedCheck::default();
        let given_up = tokio::time::timeout(A_WHILE / 2, ask(&check, true)).await;
        assert!(given_up.is_err());

        assert!(!ask(&check, false).await);
        assert_eq!(count(&check).await, 2);
    }
}
