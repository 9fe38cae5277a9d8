//! Free TCP ports, reserved across processes.

use std::{
    fs::{self, File, OpenOptions},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use nix::fcntl::{Flock, FlockArg};
use rand::RngExt;

/// Below the ephemeral range of Linux (32768 and up), so that no outgoing connection takes a reserved port.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// The fixed ports of `./dev up` within [`RANGE`]: tests must not be in its way.
const FIXED: [u16; 2] = [15_432, 19_092];

const ATTEMPTS: u32 = 2_000;

/// The locks of the ports this process has reserved; held until it ends.
static RESERVED: Mutex<Vec<Flock<File>>> = Mutex::new(Vec::new());

/// A port on 127.0.0.1 that nothing listens on and that no other caller, in this or another process, gets
/// while this process lives.
pub fn free_port() -> anyhow::Result<u16> {
    let dir = std::env::temp_dir().join("mileage-ports");
    create_shared(&dir)?;
    for _ in 0..ATTEMPTS {
        let port = rand::rng().random_range(RANGE);
        if FIXED.contains(&port) {
            continue;
        }
        let Some(lock) = reserve(&dir, port) else { continue };
        if is_free(port) {
            RESERVED.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
            return Ok(port);
        }
    }
    anyhow::bail!("no free port found in {RANGE:?} after {ATTEMPTS} attempts")
}

/// Whether `port` can be listened on at 127.0.0.1 now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// `None` when another process, or an earlier call, holds the port or its file cannot be opened by this user.
fn reserve(dir: &Path, port: u16) -> Option<Flock<File>> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join(format!("{port}.lock")))
        .ok()?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()
}

/// Every user of the machine takes part in the reservations.
fn create_shared(dir: &Path) -> anyhow::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)
        .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o1777)))
        .with_context(|| format!("cannot create {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let mut ports: Vec<u16> = (0..200).map(|_| free_port().unwrap()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 200);
    }

    #[test]
    fn a_port_in_use_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }
}
