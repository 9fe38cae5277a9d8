//! Commands: how many are done at most, how fast at half of that, and what Postgres alone does with the same statements.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use local_stack::stack::Stack;
use serde_json::json;
use sqlx::PgPool;

use crate::baseline::Baseline;
use crate::oha::Pace;
use crate::outcome::Outcome;
use crate::scripts::{self, Script};
use crate::table::{Point, Row};
use crate::vegeta::{Request, Vegeta};
use crate::{process, progress};

/// Clients that send a request as soon as the last is answered; pgbench has as many.
pub const CLIENTS: u32 = 64;
/// More than this are never written down in advance.
const FASTEST: f64 = 6_000.0;
/// Shares of the most at which the latencies are measured.
const SHARES: [f64; 4] = [0.25, 0.5, 0.75, 0.9];
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Whether anybody's welcome, sign-up points or change of points is still on its way to my page.
const IS_BEHIND: &str = "
    SELECT EXISTS (
        SELECT FROM member.member
        LEFT JOIN point.account USING (membership_id)
        LEFT JOIN mypage.page ON page.member_id = member.member_id
        WHERE member.status = 'READY' OR coalesce(account.balance, 0) = 0 OR account.version IS DISTINCT FROM page.point_version
    )";

/// Sends commands to a stack.
pub struct Commands<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// Its database.
    pub pool: &'a PgPool,
    /// Who sends them.
    pub vegeta: &'a Vegeta,
    /// The copy of the books.
    pub baseline: &'a Baseline,
    /// Of how many members there are books.
    pub members: u32,
    /// How long each measurement takes.
    pub each: Duration,
    /// How many requests were made: no two are the same.
    made: AtomicU64,
}

impl<'a> Commands<'a> {
    /// None is sent yet.
    pub const fn new(
        stack: &'a Stack,
        pool: &'a PgPool,
        vegeta: &'a Vegeta,
        baseline: &'a Baseline,
        members: u32,
        each: Duration,
    ) -> Self {
        Self { stack, pool, vegeta, baseline, members, each, made: AtomicU64::new(0) }
    }

    /// Earning and using of all members but those that are followed and the last one.
    pub async fn points(&self) -> anyhow::Result<(Row, Vec<Point>)> {
        let what = "earn or use, any account";
        let request = |number| self.earn_or_use(self.any(number), number);
        let (mut row, most) = self.most(what, scripts::EARN_OR_USE, request).await?;
        let mut curve = Vec::new();
        for share in SHARES {
            let open = self.open(what, most.rate() * share, request).await?;
            row = row.failures_of(&open);
            if share == 0.5 {
                row = row.latency(most.rate() * share, open.latency);
            }
            curve.push(Point { rate: most.rate() * share, latency_ms: open.latency });
        }
        Ok((row, curve))
    }

    /// Earning and using of the last member.
    pub async fn one_account(&self) -> anyhow::Result<Row> {
        let request = |number| self.earn_or_use(self.members.into(), number);
        self.most_and_half("earn or use, one account", scripts::USE_OF_ONE, request).await
    }

    /// Joining.
    pub async fn join(&self) -> anyhow::Result<Row> {
        let url = format!("{}/members", self.stack.service("member").url());
        let request = |number| Request {
            method: "POST",
            url: url.clone(),
            key: None,
            body: Some(json!({ "phoneNo": format!("0108{number:07}"), "nickname": "bench" })),
        };
        self.most_and_half("join, until seen everywhere", scripts::JOIN, request).await
    }

    /// Members of whom nobody else earns or uses points: a hundredth of them.
    pub const fn followed(&self) -> Range<u32> {
        self.members - self.members / 100..self.members
    }

    /// Earning and using of all but the followed and the last, so many a second.
    pub async fn keep_earning(&self, rate: f64, duration: Duration) -> anyhow::Result<Outcome> {
        let request = |number| self.earn_or_use(self.any(number), number);
        self.vegeta.send(self.requests(rate, duration, request), Pace::Open(rate), duration).await
    }

    async fn most_and_half(
        &self,
        what: &str,
        script: Script,
        request: impl Fn(u64) -> Request,
    ) -> anyhow::Result<Row> {
        let (row, most) = self.most(what, script, &request).await?;
        let rate = most.rate() / 2.0;
        let half = self.open(what, rate, request).await?;
        Ok(row.failures_of(&half).latency(rate, half.latency))
    }

    /// As fast as can be. What counts is what has been seen everywhere.
    async fn most(
        &self,
        what: &str,
        script: Script,
        request: impl Fn(u64) -> Request,
    ) -> anyhow::Result<(Row, Outcome)> {
        self.settle().await?;
        progress::say(format!("{what}: pgbench"));
        let alone = self.baseline.rate(script, CLIENTS, self.each).await?;
        self.settle().await?;
        progress::say(format!("{what}: as fast as can be"));
        let requests = self.requests(FASTEST, self.each, request);
        let before = process::cpu_times(self.stack)?;
        let most = self.vegeta.send(requests, Pace::Saturating(CLIENTS), self.each).await?;
        let behind = self.catch_up().await?;
        let cpu = process::cpu_times_since(&before, self.stack)?;
        let seen = most.served as f64 / (most.seconds + behind.as_secs_f64());
        let row = Row::new(what, if script.schema == "member" { seen } else { most.rate() });
        Ok((row.failures_of(&most).caught_up(behind).cpu(&cpu, most.served).beside("pgbench", alone), most))
    }

    async fn open(&self, what: &str, rate: f64, request: impl Fn(u64) -> Request) -> anyhow::Result<Outcome> {
        progress::say(format!("{what}: {rate:.0} a second"));
        let requests = self.requests(rate, self.each, request);
        let outcome = self.vegeta.send(requests, Pace::Open(rate), self.each).await?;
        self.catch_up().await?;
        Ok(outcome)
    }

    fn requests<'b>(
        &'b self,
        rate: f64,
        duration: Duration,
        request: impl Fn(u64) -> Request + 'b,
    ) -> impl Iterator<Item = Request> + 'b {
        // vegeta takes whole rates; it fails where it has nothing left to send.
        let count = (rate.round() * duration.as_secs_f64()).ceil();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few seconds' requests")]
        let count = count as usize + 1;
        std::iter::repeat_with(move || request(self.made.fetch_add(1, Ordering::Relaxed))).take(count)
    }

    /// Some member, another one for each of many numbers in a row.
    fn any(&self, number: u64) -> u64 {
        1 + number * 7_919 % u64::from(self.followed().start - 1)
    }

    fn earn_or_use(&self, member_id: u64, number: u64) -> Request {
        let entry_type = if (number / 2).is_multiple_of(2) { "EARN" } else { "USE" };
        Request {
            method: "POST",
            url: format!("{}/points/{member_id}/transactions", self.stack.service("point").url()),
            key: Some(format!("bench-{number}")),
            body: Some(json!({ "type": entry_type, "amount": 10, "reference": format!("R-{number}") })),
        }
    }

    /// Has Postgres clear away what earlier cases and baselines have left behind, which it would do during this one otherwise.
    async fn settle(&self) -> sqlx::Result<()> {
        for statement in ["VACUUM (ANALYZE)", "CHECKPOINT"] {
            sqlx::query(statement).execute(self.pool).await?;
        }
        Ok(())
    }

    /// Waits until everything is seen everywhere.
    async fn catch_up(&self) -> sqlx::Result<Duration> {
        let start = Instant::now();
        while sqlx::query_scalar(IS_BEHIND).fetch_one(self.pool).await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(start.elapsed())
    }
}
