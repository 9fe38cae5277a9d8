//! Delivery at least once, effect exactly once.
//!
//! Outgoing: a use case calls [`outbox::append_in_tx`] in its transaction and wakes the relay, which publishes and
//! deletes the rows in order. Incoming: the consumer gives each event to an [`EventHandler`] in a transaction that
//! also notes it in the inbox, retries what may pass, and parks what cannot be handled. [`Delivery`] starts both;
//! [`DeliveryCommand`] is for the events that are parked.

mod after_commit;
mod assignment;
mod backoff;
mod batch;
mod broker;
mod consumer;
mod failure;
mod inbox;
mod metrics;
pub mod migrations;
pub mod outbox;
mod pace;
mod parked;
mod received;
mod relay;
mod settings;
mod start;
#[cfg(test)]
mod test_support;
mod topics;
mod wake;

pub use after_commit::AfterCommit;
pub use failure::HandlerError;
pub use parked::DeliveryCommand;
pub use received::{EventHandler, Outcome};
pub use settings::KafkaSettings;
pub use start::Delivery;
pub use topics::TopicsError;
pub use wake::Wake;

/// Why a delivery task ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The topics are not what the contract says: starting would break the order of events.
    #[error("the topics do not fit")]
    Topics(#[from] TopicsError),
    /// The Kafka client could not be made or failed for good.
    #[error("the Kafka client failed")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// Postgres could not be reached or refused a statement.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// Postgres did not answer in time.
    #[error("the database did not answer in time")]
    DatabaseSilent,
    /// An outbox row names a topic that this version does not know.
    #[error("there is no topic {0}")]
    UnknownTopic(String),
    /// The producer dropped a delivery report.
    #[error("a delivery report was lost")]
    ReportLost,
}

impl DeliveryError {
    /// Whether trying again is of no use until somebody changes the configuration.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Topics(_))
    }
}
