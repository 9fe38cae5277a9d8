//! How long a change of points takes to be seen on my page.

use std::ops::Range;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use local_stack::services::Services;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

/// How often a reader looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// Microseconds.
pub type Latencies = Histogram<u64>;

/// A client that earns and looks.
pub struct Pipeline {
    http: Client,
    point: String,
    mypage: String,
}

/// What earnings took.
pub struct Changed {
    /// From the request to its answer.
    pub answered: Latencies,
    /// From the answer to the new balance at mypage.
    pub at_mypage: Latencies,
}

impl Pipeline {
    /// A client of these services.
    pub fn new(services: &Services) -> Self {
        let url = |name| services.get(name).url();
        Self { http: Client::new(), point: url("point"), mypage: url("mypage") }
    }

    /// Earns points of these members in turn, one at a time, until something is over.
    pub async fn earn_while<T>(
        &self,
        members: Range<u32>,
        over: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(Changed, T)> {
        let mut over = pin!(over);
        let mut members = members.cycle();
        let mut changed = Changed { answered: latencies()?, at_mypage: latencies()? };
        loop {
            let member_id = members.next().context("nobody to follow")?;
            tokio::select! {
                biased;
                over = &mut over => return Ok((changed, over?)),
                one = self.earn_one(member_id) => {
                    let (answered, at_mypage) = one?;
                    changed.answered.record(micros(answered))?;
                    changed.at_mypage.record(micros(at_mypage))?;
                }
            }
        }
    }

    /// How long the answer took, and then until my page showed it.
    async fn earn_one(&self, member_id: u32) -> anyhow::Result<(Duration, Duration)> {
        let start = Instant::now();
        let request = self.http.patch(format!("{}/points/{member_id}", self.point));
        let response = request.json(&json!({ "requirePoint": 1 })).send().await?;
        let (own, answer) = (start.elapsed(), Instant::now());
        ensure!(response.status() == StatusCode::OK, "{}", response.status());
        let body: Value = response.json().await?;
        let remain_point = body["remainPoint"].as_i64().context("no remainPoint")?;
        let seen = self.seen(format!("{}/mypages/{member_id}", self.mypage), remain_point, answer).await?;
        Ok((own, seen))
    }

    async fn seen(&self, url: String, remain_point: i64, since: Instant) -> anyhow::Result<Duration> {
        loop {
            let body: Value = self.http.get(&url).send().await?.json().await?;
            if body["remainPoint"] == remain_point {
                return Ok(since.elapsed());
            }
            ensure!(since.elapsed() < PATIENCE, "{url} still shows {body}, not {remain_point}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// None yet.
pub fn latencies() -> anyhow::Result<Latencies> {
    Ok(Histogram::new(3)?)
}

/// For a histogram.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
