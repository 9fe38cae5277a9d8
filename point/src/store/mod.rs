//! SQL of the point service.

pub mod accounts;
pub mod holders;

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
