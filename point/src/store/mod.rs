//! SQL of the point service.

pub mod accounts;
pub mod books;
pub mod history;
pub mod holders;
pub mod ledger;
pub mod lots;
pub mod notices;

use chrono::{DateTime, Utc};
use shared_events::Provenance;
use uuid::Uuid;

/// Where a change comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Who asked.
    pub provenance: &'a Provenance,
    /// The event that caused it, where it was one.
    pub cause: Option<Uuid>,
    /// When.
    pub now: DateTime<Utc>,
}

fn decoded<T, E: std::error::Error + Send + Sync + 'static>(result: Result<T, E>) -> sqlx::Result<T> {
    result.map_err(|error| sqlx::Error::Decode(error.into()))
}
