//! What may pass by itself, and what never will.

use std::error::Error;

/// Why an event could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// May pass: retried for ever, in order.
    #[error("a transient failure")]
    Transient(#[source] Box<dyn Error + Send + Sync>),
    /// Will not pass: the event is parked.
    #[error("the event cannot be handled")]
    Permanent(#[source] Box<dyn Error + Send + Sync>),
}

impl HandlerError {
    /// Something about the event that no retry mends.
    pub fn permanent(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Permanent(error.into())
    }
}

impl From<sqlx::Error> for HandlerError {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) { Self::Transient(error.into()) } else { Self::Permanent(error.into()) }
    }
}

impl From<serde_json::Error> for HandlerError {
    fn from(error: serde_json::Error) -> Self {
        Self::Permanent(error.into())
    }
}

/// Whether a database error says something about the database's state rather than about the data.
///
/// Only data exceptions and violated constraints are about the data: a missing right or table is a deployment
/// in the making, and parking every event because of it would be worse than waiting.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            !error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
        }
        sqlx::Error::RowNotFound
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_) => false,
        _ => true,
    }
}
