//! Where the machine keeps its Postgres server binaries.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder that holds `initdb` and `postgres`: Debian's newest, else `pg_config`'s, else one of `PATH`.
pub fn find() -> anyhow::Result<PathBuf> {
    debian()
        .into_iter()
        .chain(pg_config())
        .chain(env::split_paths(&env::var_os("PATH").unwrap_or_default()))
        .find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
        .ok_or_else(|| {
            anyhow::anyhow!("no Postgres server found: install the package postgresql, or give POSTGRES_URL")
        })
}

/// `/usr/lib/postgresql/<version>/bin`, newest first.
fn debian() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/usr/lib/postgresql") else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, dir)| dir).collect()
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let dir = String::from_utf8(output.stdout).ok()?;
    Some(Path::new(dir.trim()).to_owned()).filter(|_| output.status.success())
}
