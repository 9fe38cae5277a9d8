//! How long an effect takes to be seen everywhere, one at a time on an idle stack.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use local_stack::services::Services;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

/// How often a reader looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);
const WARM_UPS: u32 = 20;
const SIGNUP_POINTS: i64 = 1_000;

/// Microseconds.
pub type Latencies = Histogram<u64>;

/// A client that looks at all sides of the system.
pub struct Pipeline {
    http: Client,
    member: String,
    point: String,
    mypage: String,
}

/// What joins took.
pub struct Joined {
    /// From the request to its answer.
    pub answered: Latencies,
    /// From the answer to the sign-up points at point.
    pub at_point: Latencies,
    /// From the answer to the sign-up points at mypage.
    pub at_mypage: Latencies,
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
        Self { http: Client::new(), member: url("member"), point: url("point"), mypage: url("mypage") }
    }

    /// Opens connections and fills caches.
    pub async fn warm_up(&self) -> anyhow::Result<()> {
        for number in 0..WARM_UPS {
            self.join_one(900_000 + i64::from(number)).await?;
        }
        Ok(())
    }

    /// Joins members, each after the one before is seen everywhere.
    pub async fn join(&self, samples: u32) -> anyhow::Result<Joined> {
        let (mut answered, mut at_point, mut at_mypage) = (latencies()?, latencies()?, latencies()?);
        for number in 1..=samples {
            let (own, point, mypage) = self.join_one(i64::from(number)).await?;
            answered.record(micros(own))?;
            at_point.record(micros(point))?;
            at_mypage.record(micros(mypage))?;
        }
        Ok(Joined { answered, at_point, at_mypage })
    }

    async fn join_one(&self, member_id: i64) -> anyhow::Result<(Duration, Duration, Duration)> {
        let phone_no = format!("010{member_id:08}");
        let body = json!({ "memberId": member_id, "phoneNo": phone_no, "nickname": "bench" });
        let start = Instant::now();
        let response = self.http.post(format!("{}/members", self.member)).json(&body).send().await?;
        expect(response, StatusCode::CREATED).await?;
        let (own, answer) = (start.elapsed(), Instant::now());
        let (point, mypage) = tokio::try_join!(
            self.seen(format!("{}/points/{member_id}", self.point), SIGNUP_POINTS, answer),
            self.seen(format!("{}/mypages/{member_id}", self.mypage), SIGNUP_POINTS, answer),
        )?;
        Ok((own, point, mypage))
    }

    /// Earns points of member 1, one at a time.
    pub async fn change_points(&self, samples: u32) -> anyhow::Result<Changed> {
        let (mut answered, mut at_mypage) = (latencies()?, latencies()?);
        for number in 1..=i64::from(samples) {
            let start = Instant::now();
            let request = self.http.patch(format!("{}/points/1", self.point));
            let response = request.json(&json!({ "requirePoint": 1 })).send().await?;
            expect(response, StatusCode::OK).await?;
            let (own, answer) = (start.elapsed(), Instant::now());
            let seen =
                self.seen(format!("{}/mypages/1", self.mypage), SIGNUP_POINTS + number, answer).await?;
            answered.record(micros(own))?;
            at_mypage.record(micros(seen))?;
        }
        Ok(Changed { answered, at_mypage })
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

async fn expect(response: Response, status: StatusCode) -> anyhow::Result<()> {
    let found = response.status();
    let body = response.text().await.context("no body")?;
    ensure!(found == status, "{found}, not {status}: {body}");
    Ok(())
}

/// None yet.
pub fn latencies() -> anyhow::Result<Latencies> {
    Ok(Histogram::new(3)?)
}

/// For a histogram.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
