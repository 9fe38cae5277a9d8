//! A steady load of joins, earns, uses, reads and withdrawals, and a record of what became of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Answer, Client};

const CUSTOMERS: i64 = 8;
/// Between two requests of a customer, so that the load leaves the machine some air.
const PAUSE: Duration = Duration::from_millis(15);
const COMMANDS_PER_MEMBER: i64 = 6;

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was answered with success.
    Done,
    /// It was refused, so it must have had no effect.
    Refused,
    /// There was no answer, or one that does not tell.
    Unknown,
}

/// A command that was sent. No member is sent the same amount twice.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Whose points.
    pub member_id: i64,
    /// Positive earns, negative uses.
    pub amount: i64,
    /// What became of it.
    pub fate: Fate,
}

/// An answer to any request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What was asked: method and collection.
    pub what: &'static str,
    /// The answer, if there was one.
    pub answer: Option<Answer>,
    /// How long it took.
    pub latency: Duration,
}

impl Seen {
    /// Whether there was an answer, and one that does not blame the service.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.status.is_server_error())
    }
}

/// Everything that was sent and seen.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The changes of points.
    pub sent: Vec<Sent>,
    /// All answers.
    pub seen: Vec<Seen>,
}

impl Log {
    /// How many answers to `what` had this status; `None`: had no answer.
    #[must_use]
    pub fn count(&self, what: &str, status: Option<u16>) -> usize {
        let has =
            |seen: &&Seen| seen.what == what && seen.answer.as_ref().map(|it| it.status.as_u16()) == status;
        self.seen.iter().filter(has).count()
    }
}

/// A load that runs until it is stopped.
#[derive(Debug)]
pub struct Load {
    is_over: Arc<AtomicBool>,
    customers: JoinSet<Log>,
}

impl Load {
    /// Starts with memberIds from `first` on; the customers take turns with the clients.
    #[must_use]
    pub fn start(clients: &[Client], first: i64) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut customers = JoinSet::new();
        for number in 0..CUSTOMERS {
            let customer = Customer {
                clients: clients.to_vec(),
                is_over: Arc::clone(&is_over),
                record: Log::default(),
                requests: usize::try_from(number).unwrap_or(0),
            };
            customers.spawn(customer.run(first + number));
        }
        Self { is_over, customers }
    }

    /// Lets each customer finish with its member, and returns what all of them saw.
    pub async fn stop(self) -> Log {
        self.is_over.store(true, Ordering::SeqCst);
        let mut all = Log::default();
        for record in self.customers.join_all().await {
            all.sent.extend(record.sent);
            all.seen.extend(record.seen);
        }
        all
    }
}

struct Customer {
    clients: Vec<Client>,
    is_over: Arc<AtomicBool>,
    record: Log,
    requests: usize,
}

impl Customer {
    async fn run(mut self, first: i64) -> Log {
        let mut member_id = first;
        while !self.is_over.load(Ordering::SeqCst) {
            self.live(member_id).await;
            member_id += CUSTOMERS;
        }
        self.record
    }

    /// One membership, from joining on; every third withdraws in the end.
    async fn live(&mut self, member_id: i64) {
        let applicant =
            json!({ "memberId": member_id, "phoneNo": format!("010{member_id:08}"), "nickname": "L" });
        self.insist("POST /members", Method::POST, "/members", Some(&applicant), &[201, 409]).await;
        for command in 1..=COMMANDS_PER_MEMBER {
            let amount = if command % 2 == 0 { -command } else { command };
            let body = json!({ "requirePoint": amount });
            let path = format!("/points/{member_id}");
            let answer = self.ask("PATCH /points", Method::PATCH, &path, Some(&body)).await;
            let fate = match answer.map(|answer| answer.status.as_u16()) {
                Some(200) => Fate::Done,
                Some(400..=499) => Fate::Refused,
                _ => Fate::Unknown,
            };
            self.record.sent.push(Sent { member_id, amount, fate });
        }
        self.ask("GET /mypages", Method::GET, &format!("/mypages/{member_id}"), None).await;
        self.ask("GET /members", Method::GET, &format!("/members/{member_id}"), None).await;
        if member_id % 3 == 0 {
            let path = format!("/members/{member_id}");
            self.insist("DELETE /members", Method::DELETE, &path, None, &[204, 404]).await;
        }
    }

    /// Asks until it is settled: 409 and 404 say that an earlier request did it whose answer was lost.
    async fn insist(
        &mut self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        settled: &[u16],
    ) {
        loop {
            let answer = self.ask(what, method.clone(), path, body).await;
            let is_settled = answer.is_some_and(|answer| settled.contains(&answer.status.as_u16()));
            if is_settled {
                return;
            }
        }
    }

    async fn ask(
        &mut self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Answer> {
        let client = &self.clients[self.requests % self.clients.len()];
        self.requests += 1;
        let began = Instant::now();
        let answer = client.call(method, path, body).await.ok();
        self.record.seen.push(Seen { what, answer: answer.clone(), latency: began.elapsed() });
        tokio::time::sleep(PAUSE).await;
        answer
    }
}
