//! The script `./dev`, with a cargo and an apt-get that only note what they are asked for.
#![allow(clippy::unwrap_used, reason = "clippy takes the helpers of integration tests for production code")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use local_stack::scratch::ScratchDir;

/// Its `build` makes a `local-stack` that notes its arguments too; its `test` fails.
const CARGO: &str = r#"#!/bin/bash
echo "cargo $*" >> "$NOTES"
target=${CARGO_TARGET_DIR:-$PWD/target}
case $1 in
    metadata) echo "{\"packages\":[],\"target_directory\":\"$target\",\"version\":1}" ;;
    build)
        for profile in debug release; do
            mkdir -p "$target/$profile"
            printf '#!/bin/sh\necho "local-stack $*" >> "$NOTES"\n' > "$target/$profile/local-stack"
            chmod +x "$target/$profile/local-stack"
        done ;;
    test) echo "LONG=${LONG:-}" >> "$NOTES"; exit 101 ;;
esac
"#;

const FAILING_APT_GET: &str = "#!/bin/sh\necho \"apt-get $*\" >> \"$NOTES\"\nexit 100\n";
const OLD_JAVA: &str = "#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n";
const NOTHING: &str = "#!/bin/sh\n";
const FAILURE: &str = "#!/bin/sh\nexit 1\n";

/// Held while a program is written and while a process is forked: a child that is forked in between holds the file
/// open for writing until its own exec, and Linux runs no file that is open for writing.
fn no_fork_meanwhile() -> MutexGuard<'static, ()> {
    static FORK: Mutex<()> = Mutex::new(());
    FORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A project folder with nothing but the script.
struct Project {
    scratch: ScratchDir,
    folder: PathBuf,
}

impl Project {
    fn new(name: &str) -> Self {
        let scratch = ScratchDir::new("dev").unwrap();
        let folder = scratch.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        {
            let _writing = no_fork_meanwhile();
            fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev"), folder.join("dev")).unwrap();
        }
        let project = Self { scratch, folder };
        project.program("cargo", CARGO);
        project.program("apt-get", FAILING_APT_GET);
        project.program("sudo", FAILURE);
        // What `./dev test` needs and a machine may lack.
        project.program("http", NOTHING);
        // Else kustomize is built from source, as an empty project has no manifests to render.
        project.program("kubectl", NOTHING);
        project
    }

    fn program(&self, name: &str, script: &str) {
        let bin = self.scratch.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let _writing = no_fork_meanwhile();
        fs::write(bin.join(name), script).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn dev(&self, arguments: &[&str]) -> Output {
        let path =
            format!("{}:{}", self.scratch.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(self.folder.join("dev"));
        for name in
            ["CARGO_TARGET_DIR", "JAVA_HOME", "KAFKA_BROKERS", "LONG", "MILEAGE_DATA_DIR", "POSTGRES_URL"]
        {
            command.env_remove(name);
        }
        command.args(arguments).env("PATH", path).env("NOTES", self.scratch.path().join("notes"));
        command.env("XDG_CACHE_HOME", self.scratch.path().join("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = {
            let _forking = no_fork_meanwhile();
            command.spawn().unwrap()
        };
        child.wait_with_output().unwrap()
    }

    /// What the programs were asked for since the last call.
    fn notes(&self) -> Vec<String> {
        let file = self.scratch.path().join("notes");
        let notes = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        notes.lines().map(str::to_owned).collect()
    }
}

#[test]
fn nothing_is_built_to_say_that_nothing_runs() {
    let project = Project::new("project");
    assert_eq!(project.dev(&["status"]).status.code(), Some(3));
    assert_eq!(project.dev(&["down"]).status.code(), Some(0));
    assert!(project.notes().is_empty());
}

#[test]
fn a_stack_is_found_although_the_program_that_started_it_is_gone() {
    let project = Project::new("project");
    fs::create_dir(project.folder.join(".data")).unwrap();
    fs::write(project.folder.join(".data/stack.json"), "{}").unwrap();
    assert!(project.dev(&["down"]).status.success());
    let notes = project.notes();
    assert!(notes.contains(&"cargo build --release --workspace --bins".to_owned()), "{notes:?}");
    assert_eq!(notes.last().unwrap(), "local-stack down");
}

#[test]
fn only_the_named_packages_are_tested_and_what_is_left_is_removed_after_a_failure() {
    let project = Project::new("project");
    assert_eq!(project.dev(&["test"]).status.code(), Some(101));
    let notes = project.notes();
    assert!(notes.ends_with(&["cargo test --workspace", "LONG=", "local-stack clean"].map(str::to_owned)));

    project.dev(&["test", "-p", "point", "--long", "--", "--nocapture", "-p"]);
    let notes = project.notes();
    let expected = ["cargo test -p point -- --nocapture -p", "LONG=1", "local-stack clean"];
    assert!(notes.ends_with(&expected.map(str::to_owned)), "{notes:?}");
}

#[test]
fn the_target_folder_is_elsewhere_when_its_path_has_white_space() {
    let project = Project::new("my project");
    project.dev(&["test"]);
    assert!(!project.folder.join("target").exists());
    let cache = fs::read_dir(project.scratch.path().join("cache")).unwrap();
    let cached: Vec<_> = cache.map(|entry| entry.unwrap()).collect();
    let [target] = cached.as_slice() else { panic!("{cached:?}") };
    assert!(target.file_name().to_str().unwrap().starts_with("mileage-"));
    assert!(target.path().join("debug/local-stack").is_file());
}

#[test]
fn up_goes_on_without_java_but_not_without_a_compiler() {
    let project = Project::new("project");
    project.program("java", OLD_JAVA);
    assert!(project.dev(&["up", "-d"]).status.success());
    assert_eq!(project.notes().last().unwrap(), "local-stack up -d");
    assert!(!project.dev(&["up", "-d", "--broker", "kafka"]).status.success());
    project.notes();

    project.program("cc", FAILURE);
    let output = project.dev(&["up", "-d"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("gcc g++ libc6-dev"), "{said}");
    assert!(project.notes().iter().all(|note| !note.starts_with("cargo")));
}
