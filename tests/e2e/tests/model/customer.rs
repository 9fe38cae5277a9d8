//! One customer: a random life of memberships under one memberId, checked against the model at every answer.

use std::time::{Duration, Instant};

use e2e::{Answer, Client, Fate, Sent};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::model::Balance;

/// Longer than any outage.
const PATIENCE: Duration = Duration::from_secs(240);
const PAUSE: Duration = Duration::from_millis(10);

/// How a customer ended up.
#[derive(Debug)]
pub struct Ended {
    pub member_id: i64,
    /// The status and points; `None` when withdrawn.
    pub member: Option<(&'static str, Balance)>,
    pub sent: Vec<Sent>,
    pub requests: usize,
}

pub struct Customer {
    member_id: i64,
    client: Client,
    random: StdRng,
    /// Never the same amount twice.
    commands: i64,
    ended: Ended,
}

impl Customer {
    /// What it does depends on the seed and its id alone.
    pub fn new(seed: u64, member_id: i64, client: Client) -> Self {
        let random = StdRng::seed_from_u64(seed.wrapping_add(member_id.unsigned_abs()));
        let ended = Ended { member_id, member: None, sent: Vec::new(), requests: 0 };
        Self { member_id, client, random, commands: 0, ended }
    }

    /// # Errors
    /// When an answer cannot be, with the answers that led there.
    pub async fn live(mut self) -> Result<Ended, String> {
        for _ in 0..self.random.random_range(1..=2) {
            if let Err(error) = self.membership().await {
                return Err(format!("member {}: {error}; before it {:?}", self.member_id, self.ended.sent));
            }
            if self.ended.member.is_some() {
                break;
            }
        }
        Ok(self.ended)
    }

    async fn membership(&mut self) -> Result<(), String> {
        let is_reachable = self.random.random_bool(0.9);
        self.join(is_reachable).await?;
        if !is_reachable {
            self.until("members", |answer| answer.body["memberStatus"] == "ABNORMAL").await?;
            self.until("points", |answer| answer.body["memberStatus"] == "ABNORMAL").await?;
            self.change_refused().await?;
            self.ended.member = Some(("ABNORMAL", Balance::of(0)));
        } else {
            self.until("points", |answer| answer.body["remainPoint"] == 1_000).await?;
            let mut balance = Balance::of(1_000);
            for _ in 0..self.random.random_range(5..=20) {
                self.step(&mut balance).await?;
            }
            self.ended.member = Some(("NORMAL", balance));
        }
        if self.random.random_bool(0.4) {
            self.withdraw().await?;
            self.ended.member = None;
        }
        Ok(())
    }

    async fn join(&mut self, is_reachable: bool) -> Result<(), String> {
        let member_id = self.member_id;
        let phone_no = if is_reachable { format!("010{member_id:08}") } else { format!("02{member_id:07}") };
        let applicant =
            json!({ "memberId": member_id, "phoneNo": phone_no, "nickname": format!("M{member_id}") });
        let mut is_certain = true;
        let began = Instant::now();
        loop {
            let (one, other) = tokio::join!(
                self.client.call(Method::POST, "/members", Some(&applicant)),
                self.client.call(Method::POST, "/members", Some(&applicant))
            );
            self.ended.requests += 2;
            let statuses =
                [one, other].map(|answer| answer.map(|answer| answer.status.as_u16()).unwrap_or(0));
            let joined = statuses.iter().filter(|status| **status == 201).count();
            let taken = statuses.iter().filter(|status| **status == 409).count();
            match (joined, taken) {
                (2, _) => return Err("joined twice".to_owned()),
                (1, _) => return Ok(()),
                (0, 2) if is_certain => return Err("taken, but nobody joined".to_owned()),
                (0, 1..) => return Ok(()),
                _ if began.elapsed() > PATIENCE => return Err(format!("cannot join: {statuses:?}")),
                _ => is_certain = false,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A command or a look at the points.
    async fn step(&mut self, balance: &mut Balance) -> Result<(), String> {
        self.commands += 1;
        let amount = match self.random.random_range(0..10) {
            0..5 => self.commands,
            5..8 => -self.commands,
            8 => -1_000_000 - self.commands,
            _ => return self.look(balance).await,
        };
        let answer = self.change(json!({ "requirePoint": amount })).await;
        let fate = match answer.as_ref().map(|answer| answer.status.as_u16()) {
            Some(200) => Fate::Done,
            Some(400..=499) => Fate::Refused,
            _ => Fate::Unknown,
        };
        self.ended.sent.push(Sent { member_id: self.member_id, amount, fate });
        balance.observe(amount, answer.as_ref())
    }

    async fn look(&mut self, balance: &Balance) -> Result<(), String> {
        let Some(answer) = self.ask(Method::GET, "points", None).await else { return Ok(()) };
        let points = answer.body["remainPoint"].as_i64();
        let fits = answer.status.is_server_error() || points.is_some_and(|points| balance.allows(points));
        if fits { Ok(()) } else { Err(format!("{balance:?} was shown as {answer:?}")) }
    }

    async fn change_refused(&mut self) -> Result<(), String> {
        for (body, expected) in [(json!({ "requirePoint": 7 }), 409), (json!({ "requirePoint": 0 }), 422)] {
            let answer = self.change(body).await;
            let status = answer.as_ref().map(|answer| answer.status.as_u16());
            if !matches!(status, None | Some(500..)) && status != Some(expected) {
                return Err(format!("of an ABNORMAL member: {answer:?}, not {expected}"));
            }
        }
        Ok(())
    }

    async fn withdraw(&mut self) -> Result<(), String> {
        let path = format!("/members/{}", self.member_id);
        let began = Instant::now();
        loop {
            let (one, other) = tokio::join!(
                self.client.call(Method::DELETE, &path, None),
                self.client.call(Method::DELETE, &path, None)
            );
            self.ended.requests += 2;
            let statuses =
                [one, other].map(|answer| answer.map(|answer| answer.status.as_u16()).unwrap_or(0));
            if statuses.iter().any(|status| [204, 404].contains(status)) {
                return self.until("members", |answer| answer.status == 404).await;
            }
            if began.elapsed() > PATIENCE || statuses.iter().any(|status| (1..500).contains(status)) {
                return Err(format!("cannot withdraw: {statuses:?}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn until(&mut self, collection: &str, is_so: impl Fn(&Answer) -> bool) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let answer = self.ask(Method::GET, collection, None).await;
            if answer.as_ref().is_some_and(&is_so) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{collection} still shows {answer:?}"));
            }
            tokio::time::sleep(PAUSE * 5).await;
        }
    }

    async fn change(&mut self, body: Value) -> Option<Answer> {
        self.ask(Method::PATCH, "points", Some(&body)).await
    }

    async fn ask(&mut self, method: Method, collection: &str, body: Option<&Value>) -> Option<Answer> {
        tokio::time::sleep(PAUSE).await;
        self.ended.requests += 1;
        let path = format!("/{collection}/{}", self.member_id);
        self.client.call(method, &path, body).await.ok()
    }
}
