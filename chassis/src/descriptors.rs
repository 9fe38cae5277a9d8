//! File descriptors: every connection costs one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::Settings;
use crate::error::chain;

/// For everything that is neither a public connection nor in the pool: Kafka, the internal listener, files.
const RESERVE: u64 = 128;

/// Raises the limit of descriptors as far as the process may, and warns when that is not enough.
pub(crate) fn raise_limit(settings: &Settings) {
    let needed = u64::from(settings.max_connections) + u64::from(settings.db_max_connections) + RESERVE;
    match raise() {
        Ok(limit) if limit < needed => {
            tracing::warn!(limit, needed, "too few file descriptors for --max-connections (MAX_CONNECTIONS)");
        }
        Ok(_) => (),
        Err(error) => tracing::warn!(error = chain(&error), "cannot raise the limit of file descriptors"),
    }
}

fn raise() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_becomes_the_most_that_is_allowed() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard - 1, hard).unwrap();

        assert_eq!(raise(), Ok(hard));

        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE), Ok((hard, hard)));
    }
}
