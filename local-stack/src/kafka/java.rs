//! The machine's Java runtime.

use std::{env, path::PathBuf, process::Command};

use anyhow::Context;

/// The oldest Java that Kafka 4 brokers run on.
const OLDEST: u32 = 17;

/// `$JAVA_HOME/bin/java`, else `java` of `PATH`.
pub(super) fn program() -> PathBuf {
    env::var_os("JAVA_HOME")
        .map(|home| PathBuf::from(home).join("bin/java"))
        .filter(|java| java.is_file())
        .unwrap_or_else(|| PathBuf::from("java"))
}

/// Fails with a clear line when there is no Java or it is too old.
pub(super) fn check() -> anyhow::Result<()> {
    let output = Command::new(program())
        .arg("-version")
        .output()
        .context("Kafka needs Java 17 or newer, and there is no java (package default-jre-headless)")?;
    let text = String::from_utf8_lossy(&output.stderr);
    match major_version(&text) {
        Some(version) if version >= OLDEST => Ok(()),
        _ => anyhow::bail!(
            "Kafka needs Java {OLDEST} or newer; this is {}",
            text.lines().next().unwrap_or("unknown")
        ),
    }
}

/// 17 of `openjdk version "17.0.15" 2025-04-15`; 1 of the old `"1.8.0"`.
fn major_version(text: &str) -> Option<u32> {
    text.split('"').nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(major_version("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK"), Some(17));
        assert_eq!(major_version("openjdk version \"25-ea\" 2025-09-16"), Some(25));
        assert_eq!(major_version("java version \"1.8.0_401\""), Some(1));
        assert_eq!(major_version("bash: java: not found"), None);
    }
}
