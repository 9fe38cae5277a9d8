//! Stands in for the SMS gateway.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use chassis::testing::{DEADLINE, until};
use message::gateway::{Accepted, SendError, Sms, SmsGateway};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The stub; clones are the same gateway. A message whose outcome it leaves unknown was accepted.
#[derive(Clone)]
pub struct StubGateway(Arc<Inner>);

struct Inner {
    /// `None`: panics.
    answer: Mutex<Option<Result<(), SendError>>>,
    /// Each answer takes a permit; closed: all go out.
    gate: Semaphore,
    calls: Mutex<Calls>,
}

#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// How often each message came, by its client reference.
    pub by_reference: HashMap<i64, u32>,
    /// Those that were accepted, also where the answer says otherwise.
    pub accepted: HashSet<i64>,
    /// How often it was asked whether it had accepted something.
    pub finds: u32,
    /// Phone number and text of the last one.
    pub last: Option<(String, String)>,
    /// All texts.
    pub texts: Vec<String>,
    /// Those that wait for their answer, and the most of them that there ever were.
    pub in_flight: usize,
    pub most_in_flight: usize,
}

impl StubGateway {
    /// Answers only what [`Self::let_go`] or [`Self::release`] lets go.
    pub fn holding() -> Self {
        let answer = Mutex::new(Some(Ok(())));
        Self(Arc::new(Inner { answer, gate: Semaphore::new(0), calls: Mutex::default() }))
    }

    /// Accepts everything at once.
    pub fn accepting() -> Self {
        let gateway = Self::holding();
        gateway.release();
        gateway
    }

    /// Answers everything with an error, at once.
    pub fn failing(error: SendError) -> Self {
        let gateway = Self::accepting();
        gateway.answer(Err(error));
        gateway
    }

    /// Panics instead of answering.
    pub fn panicking() -> Self {
        let gateway = Self::accepting();
        *gateway.0.answer.lock().unwrap() = None;
        gateway
    }

    /// What is answered from now on.
    pub fn answer(&self, answer: Result<(), SendError>) {
        *self.0.answer.lock().unwrap() = Some(answer);
    }

    /// Lets so many answers go out.
    pub fn let_go(&self, answers: usize) {
        self.0.gate.add_permits(answers);
    }

    /// Lets all answers go out, now and later.
    pub fn release(&self) {
        self.0.gate.close();
    }

    /// As if it had accepted a message before.
    pub fn accept(&self, client_reference: i64) {
        self.0.calls.lock().unwrap().accepted.insert(client_reference);
    }

    pub fn calls(&self) -> Calls {
        self.0.calls.lock().unwrap().clone()
    }

    /// All texts that came.
    pub fn texts(&self) -> Vec<String> {
        self.calls().texts
    }

    /// How often it was called.
    pub fn count(&self) -> u32 {
        self.calls().by_reference.values().sum()
    }

    /// Waits until it holds so many messages back.
    pub async fn until_in_flight(&self, count: usize) {
        until("the messages arrive at the gateway", async || self.calls().in_flight == count).await;
    }
}

fn accepted(sms: Sms<'_>) -> Accepted {
    Accepted { gateway_message_id: Some(format!("S{}", sms.client_reference)) }
}

impl SmsGateway for StubGateway {
    async fn send(&self, sms: Sms<'_>) -> Result<Accepted, SendError> {
        {
            let mut calls = self.0.calls.lock().unwrap();
            *calls.by_reference.entry(sms.client_reference).or_default() += 1;
            calls.last = Some((sms.to.national().to_owned(), sms.text.to_owned()));
            calls.texts.push(sms.text.to_owned());
            calls.in_flight += 1;
            calls.most_in_flight = calls.most_in_flight.max(calls.in_flight);
        }
        let permit = timeout(DEADLINE, self.0.gate.acquire()).await.expect("the test lets it go");
        if let Ok(permit) = permit {
            permit.forget();
        }
        let answer = self.0.answer.lock().unwrap().clone();
        let mut calls = self.0.calls.lock().unwrap();
        calls.in_flight -= 1;
        if matches!(answer, Some(Ok(()) | Err(SendError::Unknown { .. }))) {
            calls.accepted.insert(sms.client_reference);
        }
        drop(calls);
        answer.expect("a gateway that panics").map(|()| accepted(sms))
    }

    async fn find(&self, sms: Sms<'_>) -> Result<Option<Accepted>, SendError> {
        let mut calls = self.0.calls.lock().unwrap();
        calls.finds += 1;
        Ok(calls.accepted.contains(&sms.client_reference).then(|| accepted(sms)))
    }
}
