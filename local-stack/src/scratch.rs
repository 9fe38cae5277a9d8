//! Throw-away folders, named after the process that owns them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Context;

use crate::postgres::account;

/// A folder that is removed when this is dropped. If its owner is killed, the next process removes it.
#[derive(Debug)]
pub struct ScratchDir {
    path: PathBuf,
}

impl ScratchDir {
    /// Creates an empty folder `<base>/<kind>-<pid>-<number>`.
    pub fn new(kind: &str) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);

        let base = base();
        create_readable(&base)?;
        remove_leftovers_in(&base);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("{kind}-{}-{number}", std::process::id()));
        create_readable(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of processes that were killed.
pub fn remove_leftovers() {
    remove_leftovers_in(&base());
}

/// Postgres, run as another user, must be able to reach what is below; hence not always the temp folder.
fn base() -> PathBuf {
    let name = format!("mileage-local-stack-{}", nix::unistd::geteuid());
    let temp = std::env::temp_dir();
    match account::unprivileged() {
        Ok(Some(account)) if !account.can_reach(&temp) => Path::new("/var/lib/mileage").join(name),
        _ => temp.join(name),
    }
}

fn create_readable(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot create {}", path.display()))
}

fn remove_leftovers_in(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.rsplit('-').nth(1)).and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
