//! The unprivileged user that Postgres runs as when we are root: it refuses to run as root.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use anyhow::Context;
use nix::unistd::{Gid, Uid, User, geteuid};

/// A user of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// Its user id.
    pub uid: Uid,
    /// Its primary group.
    pub gid: Gid,
}

/// The account `postgres` (or else `nobody`) when we are root; `None` when we are not and Postgres runs as us.
pub fn unprivileged() -> anyhow::Result<Option<Account>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) =
            User::from_name(name).with_context(|| format!("cannot look up the user {name}"))?
        {
            return Ok(Some(Account { uid: user.uid, gid: user.gid }));
        }
    }
    anyhow::bail!("Postgres does not run as root, and there is no user postgres or nobody to run it as")
}

impl Account {
    /// Whether this account may pass through `path` and every folder above it, as far as they exist.
    pub fn can_reach(&self, path: &Path) -> bool {
        path.ancestors().filter_map(|dir| dir.metadata().ok()).all(|folder| {
            let bit = if folder.uid() == self.uid.as_raw() {
                0o100
            } else if folder.gid() == self.gid.as_raw() {
                0o010
            } else {
                0o001
            };
            folder.permissions().mode() & bit != 0
        })
    }
}
