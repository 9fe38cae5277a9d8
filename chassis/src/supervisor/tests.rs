use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::*;

/// A task that goes through these outcomes, one a run, and reports each run.
fn scripted(
    supervisor: &Supervisor,
    outcome: impl Fn(usize) -> Result<(), TaskError> + Send + Sync + 'static,
) -> mpsc::UnboundedReceiver<usize> {
    let (report, reports) = mpsc::unbounded_channel();
    let runs = AtomicUsize::new(0);
    supervisor.spawn("scripted", move |_| {
        let run = runs.fetch_add(1, Ordering::SeqCst);
        report.send(run).unwrap();
        let outcome = outcome(run);
        async move { outcome }
    });
    reports
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_or_panics_is_restarted_until_it_is_done() {
    let supervisor = Supervisor::new();
    let mut reports = scripted(&supervisor, |run| match run {
        0 => Err(anyhow::anyhow!("connection lost").into()),
        1 => panic!("a bug"),
        _ => Ok(()),
    });

    supervisor.start();

    assert_eq!(reports.recv().await, Some(0));
    assert_eq!(reports.recv().await, Some(1));
    assert_eq!(reports.recv().await, Some(2));
    assert_eq!(reports.recv().await, None);
    supervisor.stop().await;
}

#[tokio::test]
async fn a_fatal_error_is_handed_to_the_process() {
    let supervisor = Supervisor::new();
    supervisor.start();
    let _reports = scripted(&supervisor, |_| Err(TaskError::Fatal(anyhow::anyhow!("wrong partition count"))));

    let error = supervisor.fatal().await;

    assert_eq!(chain(error.as_ref()), "background task scripted cannot go on: wrong partition count");
}

#[tokio::test]
async fn no_task_runs_before_the_start() {
    let supervisor = Supervisor::new();
    let mut reports = scripted(&supervisor, |_| Ok(()));
    tokio::task::yield_now().await;
    assert!(reports.try_recv().is_err());

    supervisor.start();
    assert_eq!(reports.recv().await, Some(0));
}

#[tokio::test]
async fn stopping_waits_for_detached_work_and_then_cancels_the_tasks() {
    let supervisor = Supervisor::new();
    let (finish, finished) = oneshot::channel::<()>();
    let (report, mut reports) = mpsc::unbounded_channel();
    let cancelled = report.clone();
    supervisor.start();
    supervisor.spawn("relay", move |token| {
        let cancelled = cancelled.clone();
        async move {
            token.cancelled().await;
            cancelled.send("cancelled")?;
            Ok(())
        }
    });
    supervisor.tracker().spawn(async move {
        finished.await.unwrap();
        report.send("saga done").unwrap();
    });

    let stopping = tokio::spawn({
        let supervisor = supervisor.clone();
        async move { supervisor.stop().await }
    });
    tokio::task::yield_now().await;
    assert_eq!(supervisor.unfinished(), ["task relay", "1 detached task(s)"]);
    finish.send(()).unwrap();
    stopping.await.unwrap();

    assert_eq!(reports.recv().await, Some("saga done"));
    assert_eq!(reports.recv().await, Some("cancelled"));
    assert!(supervisor.unfinished().is_empty());
}
