//! The programs of `tests/polyglot`, in other languages. They are installed under cargo's target folder, by their own
//! lists of pinned packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, ensure};
use local_stack::project;

/// Runs the official AsyncAPI parser on a document.
///
/// # Panics
/// When it cannot be installed, which needs Node.js and npm.
pub async fn validate_asyncapi(document: PathBuf) -> Output {
    blocking(move || {
        let folder = install("asyncapi", "package-lock.json", &|source, target| {
            for name in ["package.json", "package-lock.json", ".npmrc"] {
                fs::copy(source.join(name), target.join(name))?;
            }
            succeed(Command::new("npm").arg("ci").current_dir(target))
        })?;
        // Node.js looks for packages beside the program.
        let program = folder.join("validate.mjs");
        fs::copy(source("asyncapi").join("validate.mjs"), &program)?;
        Ok(Command::new("node").arg(program).arg(document).stdin(Stdio::null()).output()?)
    })
    .await
}

/// Runs the points report until it has read everything: with these settings, and its database in this folder.
///
/// # Panics
/// When it cannot be installed, which needs Python and its venv.
pub async fn points_report(env: Vec<(&'static str, String)>, database: PathBuf) -> Output {
    blocking(move || {
        let folder = install_python("consumer")?;
        let output = Command::new(folder.join("venv/bin/python"))
            .args(["-m", "points_report", "--until-end"])
            .current_dir(source("consumer"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("CONTRACT", contract())
            .env("REPORT_DATABASE", database)
            .envs(env)
            .stdin(Stdio::null())
            .output()?;
        Ok(output)
    })
    .await
}

/// Asks a service at random what its OpenAPI document allows and what it does not, and checks each answer against it.
///
/// # Panics
/// When it cannot be installed, which needs Python and its venv.
pub async fn schemathesis(url: String, seed: u64) -> Output {
    blocking(move || {
        let folder = install_python("schemathesis")?;
        let output = Command::new(folder.join("venv/bin/schemathesis"))
            .arg("run")
            .arg(format!("{url}/openapi.json"))
            .args(["--seed", &seed.to_string(), "--max-examples", "40", "--continue-on-failure"])
            // What a schema cannot say, such as that a phone number is taken, is refused all the same.
            .args(["--exclude-checks", "positive_data_acceptance", "--warnings", "off"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output()?;
        Ok(output)
    })
    .await
}

/// The committed AsyncAPI document; the schemas are beside it.
#[must_use]
pub fn contract() -> PathBuf {
    project::root().join("shared-events/asyncapi.yaml")
}

fn source(program: &str) -> PathBuf {
    project::root().join("tests/polyglot").join(program)
}

fn install_python(program: &str) -> anyhow::Result<PathBuf> {
    install(program, "requirements.txt", &|source, target| {
        let venv = target.join("venv");
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-r"];
        succeed(Command::new(venv.join("bin/python")).args(pip).arg(source.join("requirements.txt")))
    })
}

/// Installs what a program needs, unless that was done for the same list of packages. Returns the folder.
fn install(
    program: &str,
    list: &str,
    steps: &dyn Fn(&Path, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let (source, target) = (source(program), project::target_dir().join("polyglot").join(program));
    fs::create_dir_all(&target)?;
    let lock = File::create(target.join("lock"))?;
    lock.lock().context("another process has the lock")?;
    let (wanted, installed) = (fs::read(source.join(list))?, target.join("installed"));
    if fs::read(&installed).ok().as_ref() != Some(&wanted) {
        steps(&source, &target)?;
        fs::write(installed, wanted)?;
    }
    Ok(target)
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
    Ok(())
}

async fn blocking(run: impl FnOnce() -> anyhow::Result<Output> + Send + 'static) -> Output {
    let ran = tokio::task::spawn_blocking(run).await.expect("no panic");
    ran.unwrap_or_else(|error| unreachable!("the program runs: {error:#}"))
}
