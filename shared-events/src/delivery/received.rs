//! A record as it came from a topic, and who handles it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rdkafka::Message;
use rdkafka::message::{Headers, OwnedHeaders};
use sqlx::PgConnection;
use uuid::Uuid;

use super::after_commit::AfterCommit;
use super::failure::HandlerError;
use super::pace::AT_LEISURE;
use crate::envelope::{Envelope, EnvelopeError};
use crate::event::{Event, MemberWithdrawn, Payload};
use crate::identity::MemberId;
use crate::topic::Topic;

/// A partition of a topic.
pub(super) type Origin = (Topic, i32);

/// A record, as it was on a topic or is parked.
pub(super) struct Record {
    pub(super) topic: Topic,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// `None` when it is not a memberId.
    pub(super) key: Option<String>,
    pub(super) headers: OwnedHeaders,
    pub(super) payload: Vec<u8>,
}

/// A record of one of the topics, with its envelope read.
#[derive(Clone)]
pub(super) struct Received {
    /// The topic.
    pub(super) topic: Topic,
    /// Its partition.
    pub(super) partition: i32,
    /// Its offset in the partition.
    pub(super) offset: i64,
    /// The record's key; `None` when it is not a memberId.
    pub(super) key: Option<String>,
    /// The CloudEvents attributes, or why there are none.
    pub(super) envelope: Result<Envelope, EnvelopeError>,
    pub(super) headers: OwnedHeaders,
    pub(super) payload: Vec<u8>,
}

impl From<Record> for Received {
    fn from(record: Record) -> Self {
        let Record { topic, partition, offset, key, headers, payload } = record;
        let envelope = Envelope::from_headers(&headers).and_then(|envelope| {
            if key.as_deref() == Some(&envelope.member_id.to_string()) {
                Ok(envelope)
            } else {
                Err(EnvelopeError::Malformed("ce_subject"))
            }
        });
        Self { topic, partition, offset, key, envelope, headers, payload }
    }
}

impl Received {
    pub(super) fn new<M: Message>(topic: Topic, message: &M) -> Self {
        let key = message.key().and_then(|key| str::from_utf8(key).ok());
        Self::from(Record {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            key: key.filter(|key| key.parse::<MemberId>().is_ok()).map(str::to_owned),
            headers: readable_headers(message),
            payload: message.payload().unwrap_or_default().to_vec(),
        })
    }

    /// Where it comes from: what has to stay in order with it.
    pub(super) const fn origin(&self) -> Origin {
        (self.topic, self.partition)
    }

    /// Whether its key is an even memberId.
    pub(super) fn has_even_key(&self) -> bool {
        self.key.as_deref().and_then(|key| key.bytes().last()).is_some_and(|digit| digit % 2 == 0)
    }

    /// What the inbox knows it by: its `ce_id`, or where it stands when it has none.
    pub(super) fn inbox_id(&self) -> Uuid {
        self.envelope.as_ref().map_or_else(
            |_| {
                let position = format!("{}/{}/{}", self.topic, self.partition, self.offset);
                Uuid::new_v5(&Uuid::NAMESPACE_OID, position.as_bytes())
            },
            |envelope| envelope.id,
        )
    }

    /// The envelope and the event in it.
    ///
    /// # Errors
    /// [`HandlerError::Permanent`] when the record is not an event of the contract.
    pub(super) fn decode(&self) -> Result<(&Envelope, Event), HandlerError> {
        let envelope = self.envelope.as_ref().map_err(|error| HandlerError::permanent(error.clone()))?;
        let event = Event::decode(&envelope.event_type, &self.payload)?;
        match event.member_id() {
            Some(member_id) if member_id != envelope.member_id => {
                Err(HandlerError::permanent("the payload is about another member than the envelope"))
            }
            Some(_) | None => Ok((envelope, event)),
        }
    }

    /// Whether nothing that its topic said of its key before has a meaning any more: the membership has ended.
    pub(super) fn supersedes_earlier(&self) -> bool {
        self.topic == MemberWithdrawn::TOPIC && matches!(self.decode(), Ok((_, Event::MemberWithdrawn(_))))
    }
}

/// The headers, or none where they cannot be read: rdkafka panics at a name that is not UTF-8, and a record that
/// anybody can write must not take the consumer down.
fn readable_headers<M: Message>(message: &M) -> OwnedHeaders {
    let read = || {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        headers.fold(OwnedHeaders::new(), OwnedHeaders::insert)
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| OwnedHeaders::new())
}

/// What handling an event came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It had an effect.
    Applied,
    /// Its effect was there already.
    AlreadyApplied,
    /// It is not newer than what is known, or of a former membership.
    Stale,
    /// This service does not react to it.
    Ignored,
}

impl Outcome {
    /// The label in metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::AlreadyApplied => "already_applied",
            Self::Stale => "stale",
            Self::Ignored => "ignored",
        }
    }
}

/// A service's policies, behind one door.
pub trait EventHandler: Send + Sync + 'static {
    /// Whether this service reacts to events of this type. What it does not react to is counted, and neither read nor
    /// noted in the inbox. By default it is interested in all that this version knows.
    fn reacts_to(&self, event_type: &str) -> bool {
        Event::is_known(event_type)
    }

    /// How long after the start of a batch that was not full the next one begins at least: what comes meanwhile shares a
    /// transaction, and what comes alone is handled at once. By default as suits policies that nobody waits for: then the
    /// broker collects for up to 50 ms what it has for them.
    fn pace(&self) -> Duration {
        AT_LEISURE
    }

    /// Handles events in the transaction that also notes them in the inbox, with the same result as one by one in their
    /// order. Says of each what it came to. Called again for the same events after a failure; never for events of one key
    /// twice at a time. What is to be done once the transaction has committed is added to `after`.
    fn handle_all_in_tx(
        &self,
        tx: &mut PgConnection,
        events: Vec<(&Envelope, Event)>,
        after: &mut AfterCommit,
    ) -> impl Future<Output = Result<Vec<Outcome>, HandlerError>> + Send;

    /// As [`Self::handle_all_in_tx`], for one event.
    fn handle_in_tx(
        &self,
        tx: &mut PgConnection,
        envelope: &Envelope,
        event: Event,
        after: &mut AfterCommit,
    ) -> impl Future<Output = Result<Outcome, HandlerError>> + Send {
        async {
            let outcomes = self.handle_all_in_tx(tx, vec![(envelope, event)], after).await?;
            Ok(outcomes.into_iter().next().unwrap_or(Outcome::Ignored))
        }
    }
}
