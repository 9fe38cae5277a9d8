//! Whatever happens to a process that uses this crate, nothing it started goes on.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy takes the helpers of integration tests for production code"
)]

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use local_stack::{
    kafka::{Kafka, KafkaOptions},
    port::free_port,
    postgres::{Postgres, PostgresOptions},
    process::{ChildProcess, Signal},
    scratch::ScratchDir,
};

/// Set for the copy of this test program that is going to be killed.
const VICTIM: &str = "LOCAL_STACK_TEST_VICTIM";

fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z')))
}

/// Starts both servers, says their pids and the folder of their data, and waits to be killed.
async fn be_the_victim() {
    let (postgres, kafka) =
        tokio::join!(Postgres::start(PostgresOptions::default()), Kafka::start(KafkaOptions::default()));
    let (postgres, kafka) = (postgres.unwrap(), kafka.unwrap());
    let folder = postgres.log_path().parent().unwrap();
    println!("victim {} {} {}", postgres.pid().unwrap(), kafka.pid().unwrap(), folder.display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_parent_leaves_no_child_and_its_data_is_removed_later() {
    if std::env::var_os(VICTIM).is_some() {
        return be_the_victim().await;
    }
    // A folder for temporary files of its own: elsewhere any other process would remove what the victim leaves.
    let temp = ScratchDir::new("victim").unwrap();
    // All the same it must not get a port that another process has reserved.
    free_port().unwrap();
    symlink(std::env::temp_dir().join("mileage-ports"), temp.path().join("mileage-ports")).unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_parent_leaves_no_child_and_its_data_is_removed_later", "--nocapture"])
        .env(VICTIM, "1")
        .env("TMPDIR", temp.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("victim ").map(|(_, rest)| rest.to_owned()))
        .expect("the victim started nothing");
    let mut words = line.split(' ');
    let pids: Vec<u32> = words.by_ref().take(2).map(|pid| pid.parse().unwrap()).collect();
    let folder = Path::new(words.next().unwrap()).to_owned();
    assert!(pids.iter().all(|pid| is_running(*pid)));

    victim.kill().unwrap();
    victim.wait().unwrap();

    let deadline = Instant::now() + Duration::from_secs(15);
    while pids.iter().any(|pid| is_running(*pid)) {
        assert!(Instant::now() < deadline, "still running: {pids:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(folder.exists());
    let clean =
        Command::new(env!("CARGO_BIN_EXE_local-stack")).arg("clean").env("TMPDIR", temp.path()).status();
    assert!(clean.unwrap().success());
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_child_outlives_the_thread_and_the_runtime_that_started_it() {
    let scratch = ScratchDir::new("sleep").unwrap();
    let log = scratch.path().join("log");
    let child = tokio::task::spawn_blocking(move || {
        std::thread::spawn(move || {
            let mut sleep = Command::new("sleep");
            sleep.arg("600");
            ChildProcess::spawn("sleep", sleep, &log, Signal::SIGKILL).unwrap()
        })
        .join()
        .unwrap()
    })
    .await
    .unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), child.exited()).await.is_err());

    let status = child.stop(Signal::SIGTERM, Duration::from_secs(5)).await;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
    assert!(child.check_running().is_err());
}
