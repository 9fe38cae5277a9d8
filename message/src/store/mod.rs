//! SQL of the message service.

pub mod messages;
pub mod outcomes;
pub mod queue;
pub mod queueing;
pub mod send_counts;

use std::io;
use std::time::Duration;

use shared_events::MemberId;
use shared_events::event::MessageKind;
use tokio::time::timeout;

/// How long Postgres may take to answer: a connection that leads nowhere never does.
pub(crate) const DATABASE_TIMEOUT: Duration = Duration::from_secs(3);

/// Ends a transaction that takes longer than [`DATABASE_TIMEOUT`].
pub(crate) async fn in_time<T>(answer: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(DATABASE_TIMEOUT, answer).await.map_err(io::Error::from)?
}

fn member_id(id: i64) -> sqlx::Result<MemberId> {
    MemberId::try_from(id).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn kind(name: &str) -> MessageKind {
    let known = [MessageKind::Welcome, MessageKind::ExpiryNotice].into_iter();
    known.into_iter().find(|kind| kind.as_str() == name).unwrap_or(MessageKind::Unknown)
}
