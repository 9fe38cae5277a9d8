//! Send a failed message again, because an operator asked for it.

use chrono::{DateTime, Utc};
use shared_events::Provenance;
use shared_events::delivery::Wake;
use sqlx::PgPool;

use crate::domain::Message;
use crate::store::{messages, queue};

/// Why a message is not sent again.
#[derive(Debug, thiserror::Error)]
pub enum ResendError {
    /// There is no such message.
    #[error("there is no such message")]
    NotFound,
    /// It has not failed: it is on its way, was sent, or its member has withdrawn.
    #[error("the message has not failed")]
    NotFailed(Box<Message>),
    /// The member has withdrawn: there is nobody to send it to.
    #[error("the phone number is erased")]
    Erased,
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// Queues a failed message again, with a new retry budget, and wakes the worker. The spending guard counts it anew.
///
/// # Errors
/// [`ResendError`]; nothing is changed then.
pub async fn resend_message(
    pool: &PgPool,
    worker: &Wake,
    message_id: i64,
    provenance: &Provenance,
    now: DateTime<Utc>,
) -> Result<Message, ResendError> {
    let is_queued = queue::resend(pool, message_id, provenance, now).await?;
    let message = messages::find(pool, message_id).await?.ok_or(ResendError::NotFound)?;
    if is_queued {
        worker.wake();
        return Ok(message);
    }
    match message.phone_no {
        None => Err(ResendError::Erased),
        Some(_) => Err(ResendError::NotFailed(Box::new(message))),
    }
}
