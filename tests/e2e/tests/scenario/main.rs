//! The README's scenarios, typed by HTTPie. A test target of its own, so that it has the machine to itself: its
//! deadlines are promises.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use e2e::{World, block_on};
use local_stack::services::Services;
use local_stack::stack::{BrokerSource, Stack, StackOptions};

/// How often the scenarios are run with the same ids; 20 with LONG=1.
fn rounds() -> &'static str {
    if std::env::var_os("LONG").is_some() { "20" } else { "2" }
}

async fn run_script(services: &Services, rounds: &'static str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenario.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(rounds);
    for (name, service) in [("MEMBER_URL", "member"), ("POINT_URL", "point"), ("MYPAGE_URL", "mypage")] {
        command.env(name, services.get(service).url());
    }
    let run = tokio::task::spawn_blocking(move || command.output()).await;
    let output = run.expect("the script runs").expect("python3 and HTTPie are installed");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    // Past the test harness, which would swallow it: how long each answer was waited for is worth reading.
    std::io::stderr().write_all(out.as_bytes()).expect("standard error");
}

#[test]
fn the_scenarios_give_what_the_readme_says_again_and_again_with_the_same_ids() {
    block_on(async {
        let world = World::start().await;
        world.services.wait_until_consuming().await.expect("events flow");
        run_script(&world.services, rounds()).await;
        world.stop().await;
    });
}

#[test]
fn the_scenarios_also_run_on_the_in_process_broker() {
    block_on(async {
        let options = StackOptions { broker: BrokerSource::InProcess, ..StackOptions::default() };
        let stack = Stack::start(options).await.expect("the stack starts");
        run_script(&stack.services, "1").await;
        stack.stop().await;
    });
}
