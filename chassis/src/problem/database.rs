//! What a client is told when Postgres fails.

use std::sync::Arc;

use super::{Problem, RETRY_SHORTLY};
use crate::db::is_transient;
use crate::error::chain;

/// An outage of Postgres is 503 `try-again-later` and logged as a warning; anything else is our fault: 500.
impl From<&sqlx::Error> for Problem {
    fn from(error: &sqlx::Error) -> Self {
        if !is_transient(error) {
            return Self::internal(error);
        }
        tracing::warn!(error = chain(error), "Postgres cannot be used at the moment");
        Self::try_again_later(
            "The database cannot be used at the moment. Please try again shortly.",
            RETRY_SHORTLY,
        )
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::from(&error)
    }
}

impl From<Arc<sqlx::Error>> for Problem {
    fn from(error: Arc<sqlx::Error>) -> Self {
        Self::from(&*error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_no_internal_error() {
        let unreachable = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);

        assert_eq!(Problem::from(sqlx::Error::Io(unreachable)).code(), "try-again-later");
        assert_eq!(Problem::from(sqlx::Error::PoolTimedOut).code(), "try-again-later");
        assert_eq!(Problem::from(sqlx::Error::RowNotFound).code(), "internal-error");
    }
}
