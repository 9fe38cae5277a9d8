//! A handler that writes down what it gets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sqlx::PgConnection;

use crate::delivery::{AfterCommit, EventHandler, HandlerError, Outcome};
use crate::envelope::Envelope;
use crate::event::Event;

/// Writes each event's sequence down as its effect, unless a mishap is in store for it.
#[derive(Clone, Debug, Default)]
pub(in crate::delivery) struct Recorder(Arc<Mutex<HashMap<i64, Vec<Mishap>>>>);

/// What goes wrong, after the effect was written.
#[derive(Clone, Copy, Debug)]
pub(in crate::delivery) enum Mishap {
    /// For ever, as the handler says.
    Permanent,
    /// For ever, as a constraint of the database says.
    Constraint,
    /// Once.
    Transient,
}

impl Recorder {
    /// What goes wrong with which sequence.
    pub(in crate::delivery) fn new(mishaps: impl IntoIterator<Item = (i64, Vec<Mishap>)>) -> Self {
        Self(Arc::new(Mutex::new(mishaps.into_iter().collect())))
    }

    /// From now on this goes wrong with a sequence.
    pub(in crate::delivery) fn set(&self, sequence: i64, mishaps: Vec<Mishap>) {
        self.0.lock().unwrap().insert(sequence, mishaps);
    }

    /// Nothing goes wrong with a sequence any more.
    pub(in crate::delivery) fn mend(&self, sequence: i64) {
        self.set(sequence, Vec::new());
    }
}

impl EventHandler for Recorder {
    async fn handle_all_in_tx(
        &self,
        tx: &mut PgConnection,
        events: Vec<(&Envelope, Event)>,
        _after: &mut AfterCommit,
    ) -> Result<Vec<Outcome>, HandlerError> {
        let mut outcomes = Vec::with_capacity(events.len());
        for (envelope, _) in events {
            outcomes.push(self.record_in_tx(tx, envelope).await?);
        }
        Ok(outcomes)
    }
}

impl Recorder {
    async fn record_in_tx(
        &self,
        tx: &mut PgConnection,
        envelope: &Envelope,
    ) -> Result<Outcome, HandlerError> {
        let write = || {
            sqlx::query("INSERT INTO effect (key, sequence, ce_id) VALUES ($1, $2, $3)")
                .bind(envelope.member_id.to_string())
                .bind(envelope.sequence)
                .bind(envelope.id)
        };
        write().execute(&mut *tx).await?;
        let mishap = {
            let mut mishaps = self.0.lock().unwrap();
            let in_store = mishaps.entry(envelope.sequence).or_default();
            if let Some(Mishap::Transient) = in_store.last() {
                in_store.pop()
            } else {
                in_store.last().copied()
            }
        };
        match mishap {
            None => Ok(Outcome::Applied),
            Some(Mishap::Permanent) => Err(HandlerError::permanent("a broken invariant")),
            Some(Mishap::Constraint) => {
                Err(write().execute(&mut *tx).await.expect_err("it is unique").into())
            }
            Some(Mishap::Transient) => Err(HandlerError::Transient("for now".into())),
        }
    }
}
