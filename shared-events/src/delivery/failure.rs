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
        if is_transient(&error) {
            Self::Transient(error.into())
        } else {
            Self::Permanent(without_values(error))
        }
    }
}

/// Says which rule of the database the data broke, but not with what: some messages of Postgres quote values, and
/// those may be personal data.
fn without_values(error: sqlx::Error) -> Box<dyn Error + Send + Sync> {
    let sqlx::Error::Database(refusal) = &error else { return error.into() };
    let code = refusal.code().unwrap_or_default();
    match refusal.constraint() {
        Some(constraint) => format!("the database refuses it by {constraint} (SQLSTATE {code})").into(),
        None => format!("the database refuses it (SQLSTATE {code})").into(),
    }
}

impl From<serde_json::Error> for HandlerError {
    /// Says where the payload is wrong, but not with what: the error quotes values, and those may be personal data.
    fn from(error: serde_json::Error) -> Self {
        let (category, line, column) = (error.classify(), error.line(), error.column());
        Self::permanent(format!(
            "the payload does not fit ({category:?} error at line {line} column {column})"
        ))
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

#[cfg(test)]
mod tests {
    use std::io;

    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::delivery::test_support::pool;

    #[tokio::test]
    async fn a_database_error_is_permanent_only_if_it_is_about_the_data() {
        let pool = pool().await;
        for (code, transient) in [
            ("22001", false), // too long
            ("22003", false), // out of range
            ("22021", false), // a NUL in a text
            ("22P02", false), // not of the type
            ("23502", false), // null
            ("23503", false), // a foreign key
            ("23505", false), // a duplicate
            ("23514", false), // a check
            ("08006", true),  // the connection is lost
            ("25006", true),  // read only, such as a former primary
            ("25P03", true),  // idle in transaction for too long
            ("40001", true),  // lost against another transaction
            ("40P01", true),  // deadlock
            ("42501", true),  // a missing right: a deployment in the making
            ("42P01", true),  // a missing table: likewise
            ("53100", true),  // the disk is full
            ("53300", true),  // too many connections
            ("55P03", true),  // a lock was not available
            ("57014", true),  // cancelled by the statement timeout
            ("57P01", true),  // shutting down
            ("57P03", true),  // starting
            ("XX000", true),  // an internal error
        ] {
            let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '{code}'; END $$");
            let error = sqlx::raw_sql(AssertSqlSafe(raise)).execute(&pool).await.unwrap_err();
            assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some(code));
            assert_eq!(is_transient(HandlerError::from(error)), transient, "{code}");
        }
    }

    #[tokio::test]
    async fn the_reason_for_parking_quotes_no_value() {
        let pool = pool().await;
        for (query, expected) in [
            ("SELECT '01012345678 of Kim'::bigint", "the database refuses it (SQLSTATE 22P02)"),
            (
                "INSERT INTO effect (key, sequence) VALUES ('01012345678', 1), ('01012345678', 1)",
                "the database refuses it by effect_sequence_key (SQLSTATE 23505)",
            ),
        ] {
            let error = sqlx::raw_sql(query).execute(&pool).await.unwrap_err();
            let HandlerError::Permanent(reason) = HandlerError::from(error) else { panic!("{query}") };
            assert_eq!(reason.to_string(), expected);
        }
    }

    #[test]
    fn a_database_that_cannot_be_reached_is_transient_and_a_row_that_cannot_be_read_is_not() {
        for error in [
            sqlx::Error::PoolTimedOut,
            sqlx::Error::PoolClosed,
            sqlx::Error::WorkerCrashed,
            io::Error::from(io::ErrorKind::ConnectionRefused).into(),
            sqlx::Error::Tls("no".into()),
        ] {
            assert!(is_transient(error.into()));
        }
        for error in
            [sqlx::Error::RowNotFound, sqlx::Error::Decode("no".into()), sqlx::Error::Encode("no".into())]
        {
            assert!(!is_transient(error.into()));
        }
    }

    #[test]
    fn a_payload_that_cannot_be_read_is_permanent() {
        let error = serde_json::from_str::<i64>("x").unwrap_err();
        assert!(!is_transient(error.into()));
        assert!(!is_transient(HandlerError::permanent("a broken invariant")));
    }

    fn is_transient(error: HandlerError) -> bool {
        matches!(error, HandlerError::Transient(_))
    }
}
