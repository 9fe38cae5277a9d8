//! What the services say about their settings. The binaries have to be built.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, ensure};
use local_stack::service::find_binary;

/// The exit code of a service that refuses a setting.
const WRONG_SETTING: i32 = 2;

/// The environment variables that `<service> --help` names.
///
/// # Errors
/// When the binary is not built or its help cannot be read.
pub fn names(service: &str) -> anyhow::Result<BTreeSet<String>> {
    let output = Command::new(find_binary(service)?).arg("--help").env_clear().output()?;
    ensure!(output.status.success(), "{service} --help ends with {}", output.status);
    let help = String::from_utf8(output.stdout).context("the help is not UTF-8")?;
    let is_variable = |word: &str| {
        word.len() > 1
            && word.bytes().all(|byte| byte == b'_' || byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    // `[env: AUTH=]`, and variables that only the text names, as secrets come by the environment alone.
    let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    Ok(words.filter(|word| is_variable(word)).map(str::to_owned).collect())
}

/// What the service says against an environment, if anything: it checks all settings before it does anything.
///
/// # Errors
/// When the binary is not built.
pub fn refusal<N: AsRef<str>, V: AsRef<str>>(
    service: &str,
    environment: impl IntoIterator<Item = (N, V)>,
) -> anyhow::Result<Option<String>> {
    let mut command = Command::new(find_binary(service)?);
    command.arg("healthcheck").env_clear();
    for (name, value) in environment {
        command.env(name.as_ref(), value.as_ref());
    }
    let output = command.output()?;
    let is_refused = output.status.code() == Some(WRONG_SETTING);
    Ok(is_refused.then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
