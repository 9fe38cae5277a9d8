//! The programs of `tests/polyglot`, in other languages. They are installed under cargo's target folder, by their own
//! lists of pinned packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use local_stack::project;

/// How long a program may run.
const DEADLINE: Duration = Duration::from_secs(120);

/// Runs the official AsyncAPI parser on a document.
///
/// # Panics
/// When it cannot be installed, which needs Node.js and npm, or does not end in time.
pub async fn validate_asyncapi(document: PathBuf) -> Output {
    let folder = installed(|| {
        // Node.js looks for packages beside the program.
        let files = ["package.json", "package-lock.json", ".npmrc", "validate.mjs"];
        install("asyncapi", &files, |folder| succeed(Command::new("npm").arg("ci").current_dir(folder)))
    });
    let mut command = Command::new("node");
    command.arg(folder.await.join("validate.mjs")).arg(document);
    run(command).await
}

/// Runs the points report until it has read everything: with these settings, and its database in this file.
///
/// # Panics
/// When it cannot be installed, which needs Python and its venv, or does not end in time.
pub async fn points_report(env: Vec<(&'static str, String)>, database: PathBuf) -> Output {
    let mut command = python("consumer", "python").await;
    command
        .args(["-m", "points_report", "--until-end"])
        .current_dir(source("consumer"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("CONTRACT", contract())
        .env("REPORT_DATABASE", database)
        .envs(env);
    run(command).await
}

/// Asks a service at random what its OpenAPI document allows and what it does not, and checks each answer against it.
///
/// # Panics
/// When it cannot be installed, which needs Python and its venv.
pub async fn schemathesis(url: String, seed: u64) -> Output {
    let mut command = python("schemathesis", "schemathesis").await;
    command
        .arg("run")
        .arg(format!("{url}/openapi.json"))
        .args(["--seed", &seed.to_string(), "--max-examples", "40", "--continue-on-failure"])
        // What a schema cannot say, such as that a phone number is taken, is refused all the same.
        .args(["--exclude-checks", "positive_data_acceptance", "--warnings", "off"])
        .current_dir(project::target_dir().join("polyglot/schemathesis"));
    run(command).await
}

/// The committed AsyncAPI document; the schemas are beside it.
#[must_use]
pub fn contract() -> PathBuf {
    project::root().join("shared-events/asyncapi.yaml")
}

fn source(program: &str) -> PathBuf {
    project::root().join("tests/polyglot").join(program)
}

/// A program of the virtual environment with what a program of ours needs.
async fn python(ours: &'static str, program: &str) -> Command {
    let folder = installed(move || {
        install(ours, &["requirements.txt"], |folder| {
            let venv = folder.join("venv");
            succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
            let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-r"];
            succeed(Command::new(venv.join("bin/python")).args(pip).arg(folder.join("requirements.txt")))
        })
    });
    Command::new(folder.await.join("venv/bin").join(program))
}

/// Copies these files of a program under cargo's target folder and installs there what they ask for, unless that was
/// done with the same files. Returns the folder.
fn install(
    program: &str,
    files: &[&str],
    steps: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let (source, folder) = (source(program), project::target_dir().join("polyglot").join(program));
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("the installation cannot be locked")?;
    let (mut wanted, installed) = (Vec::new(), folder.join("installed"));
    for file in files {
        wanted.extend(fs::read(source.join(file)).with_context(|| format!("{program}/{file}"))?);
    }
    if fs::read(&installed).ok().as_ref() != Some(&wanted) {
        for file in files {
            fs::copy(source.join(file), folder.join(file))?;
        }
        steps(&folder)?;
        fs::write(installed, wanted)?;
    }
    Ok(folder)
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
    Ok(())
}

async fn installed(steps: impl FnOnce() -> anyhow::Result<PathBuf> + Send + 'static) -> PathBuf {
    let folder = tokio::task::spawn_blocking(steps).await.expect("no panic");
    folder.expect("the program can be installed")
}

async fn run(command: Command) -> Output {
    let mut command = tokio::process::Command::from(command);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    tokio::time::timeout(DEADLINE, output).await.expect("it ends in time").expect("it runs")
}
