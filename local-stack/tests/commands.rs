//! The commands behind `./dev up`, `down` and `status`, on a folder and ports of their own.
#![allow(clippy::unwrap_used, reason = "clippy takes the helpers of integration tests for production code")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use local_stack::{
    database::SERVICES, port_owner::port_owner, scratch::ScratchDir, service::find_binary, wait::until_ok,
};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(30);

/// A data folder and what runs on it; stopped at the end, however the test ends.
struct Place {
    folder: ScratchDir,
    client: reqwest::Client,
}

impl Place {
    fn new() -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        Self { folder: ScratchDir::new("commands").unwrap(), client }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-stack"));
        for name in ["POSTGRES_URL", "KAFKA_BROKERS", "MILEAGE_ROLE_PASSWORD"] {
            command.env_remove(name);
        }
        command.args(arguments).env("MILEAGE_DATA_DIR", self.folder.path().join("data"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?} failed:\n{said}");
        said
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder.path().join("data/stack.json")).unwrap()).unwrap()
    }

    fn supervisor(&self) -> u32 {
        self.state()["pid"].as_u64().unwrap().try_into().unwrap()
    }

    fn port(&self, part: &str) -> u16 {
        let state = self.state();
        let parts = state["parts"].as_array().unwrap();
        let port = parts.iter().find(|it| it["name"] == part).unwrap()["port"].as_u64();
        port.unwrap().try_into().unwrap()
    }

    fn stop_and_see_all_gone(&self) {
        let processes = family(self.supervisor());
        // The supervisor, the services, Kafka, and Postgres with children of its own.
        assert!(processes.len() > 7, "{processes:?}");
        self.succeed(&["down"]);
        assert_eq!(processes.iter().find(|pid| is_running(pid)), None);
    }

    /// Waits until the service answers with `field` as `expected`.
    async fn wait_for(&self, service: &str, path: &str, field: &str, expected: Value) {
        let url = format!("http://127.0.0.1:{}{path}", self.port(service));
        let met = until_ok(DEADLINE, || async {
            let body: Value = self.client.get(&url).send().await?.json().await?;
            anyhow::ensure!(body[field] == expected, "{url}: {body}");
            Ok(())
        });
        met.await.unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
    }
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn is_running(pid: &u32) -> bool {
    stat(*pid).is_some_and(|(state, _)| state != "Z")
}

/// The process and all its descendants.
fn family(head: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids: Vec<u32> = processes.filter_map(|it| it.file_name().to_str()?.parse().ok()).collect();
    let mut family = vec![head];
    let mut seen = 0;
    while let Some(parent) = family.get(seen).copied() {
        family.extend(pids.iter().filter(|pid| stat(**pid).is_some_and(|(_, ppid)| ppid == parent)));
        seen += 1;
    }
    family
}

fn pid_on(port: u16) -> Option<i32> {
    port_owner(port)?.rsplit_once("(pid ")?.1.trim_end_matches(')').parse().ok()
}

#[tokio::test]
async fn a_member_survives_a_restart_of_everything_and_a_killed_service() {
    for service in SERVICES {
        find_binary(service).unwrap();
    }
    let place = Place::new();
    assert_eq!(place.run(&["status"]).status.code(), Some(3));

    place.succeed(&["up", "-d", "--free-ports", "--broker", "kafka"]);
    assert!(place.succeed(&["up", "-d"]).contains("already running"));
    let member =
        json!({"memberId": 1, "phoneNo": "01085581234", "nickname": "SEQ1", "memberStatus": "READY"});
    let join = place.client.post(format!("http://127.0.0.1:{}/members", place.port("member"))).json(&member);
    assert_eq!(join.send().await.unwrap().status(), 201);
    place.wait_for("member", "/members/1", "memberStatus", json!("NORMAL")).await;
    place.wait_for("point", "/points/1", "remainPoint", json!(1000)).await;
    place.stop_and_see_all_gone();

    place.succeed(&["up", "-d", "--free-ports", "--broker", "kafka"]);
    place.wait_for("member", "/members/1", "nickname", json!("SEQ1")).await;
    // Last, because Kafka waits for the killed one's session to end before it shares out partitions again.
    let killed = pid_on(place.port("point")).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(killed), nix::sys::signal::Signal::SIGKILL).unwrap();
    let back = until_ok(DEADLINE, || async {
        let another = pid_on(place.port("point")).is_some_and(|pid| pid != killed);
        if another && place.run(&["status"]).status.success() { Ok(()) } else { Err("point is not back") }
    });
    back.await.unwrap();
    place.wait_for("point", "/points/1", "remainPoint", json!(1000)).await;
    place.stop_and_see_all_gone();
    assert_eq!(place.run(&["status"]).status.code(), Some(3));
}

/// Starts with an empty folder of Kafka, so that Maven is run; this one never ends.
fn up_with_a_maven_that_hangs(place: &Place) -> Child {
    let bin = place.folder.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let pid_file = place.folder.path().join("maven.pid");
    let script = format!("#!/bin/sh\necho $$ > '{}'\nexec sleep 600\n", pid_file.display());
    fs::write(bin.join("mvn"), script).unwrap();
    fs::set_permissions(bin.join("mvn"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    place
        .command(&["up", "--free-ports", "--broker", "kafka"])
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("CARGO_TARGET_DIR", place.folder.path().join("target"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_first_start_can_be_stopped_while_maven_runs_and_while_it_is_waited_for() {
    let place = Place::new();
    let mut first = up_with_a_maven_that_hangs(&place);
    let pid_file = place.folder.path().join("maven.pid");
    let read_pid =
        || async { fs::read_to_string(&pid_file)?.trim().parse::<u32>().map_err(anyhow::Error::new) };
    let maven = until_ok(DEADLINE, read_pid).await.unwrap();

    let second_place = Place::new();
    let mut second = second_place
        .command(&["up", "--free-ports", "--broker", "kafka"])
        .env("CARGO_TARGET_DIR", place.folder.path().join("target"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let starting = || async { fs::metadata(second_place.folder.path().join("data/stack.json")) };
    until_ok(DEADLINE, starting).await.unwrap();

    let start = Instant::now();
    second_place.succeed(&["down"]);
    second.wait().unwrap();
    place.succeed(&["down"]);
    first.wait().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!is_running(&maven));
}

#[test]
fn a_postgres_that_others_reach_needs_a_password_of_its_own() {
    let place = Place::new();
    let output =
        place.run(&["up", "--free-ports", "--postgres-url", "postgres://postgres@db.invalid/mileage"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("MILEAGE_ROLE_PASSWORD") && said.lines().count() == 1, "{said}");
}
