//! How many requests the services answer at most, how fast they answer half as many, and what that costs.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use local_stack::scratch::ScratchDir;
use local_stack::stack::Stack;
use sqlx::PgPool;

use crate::oha::{self, Body, Outcome, Pace, Target};
use crate::{books, process};

const CONNECTIONS: u32 = 64;
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Numbers to join with. The more there are, the more rarely one is drawn again and refused.
const APPLICANTS: u32 = 1_000_000;

/// Whether anybody's welcome, sign-up points or change of points is still on its way to my page.
const IS_BEHIND: &str = "
    SELECT EXISTS (
        SELECT FROM member.member
        LEFT JOIN point.account USING (membership_id)
        LEFT JOIN mypage.page ON page.member_id = member.member_id
        WHERE member.status = 'READY' OR coalesce(account.balance, 0) = 0 OR account.version IS DISTINCT FROM page.point_version
    )";

/// One kind of request.
pub struct Measured {
    /// What is asked.
    pub what: &'static str,
    /// As fast as the services can.
    pub most: Outcome,
    /// At half that rate.
    pub half: Outcome,
    /// What each process used of the processors while it was as fast as can be.
    pub cpu: Vec<(&'static str, Duration)>,
    /// How long after the last of these answers everything was seen everywhere; `None` for what only reads.
    pub caught_up: Option<Duration>,
}

/// Measures each kind of request, on books of so many members.
pub async fn measure(stack: &Stack, members: u32, each: Duration) -> anyhow::Result<Vec<Measured>> {
    let pool = PgPool::connect(&stack.database.admin_url()).await?;
    books::write(&pool, i64::from(members), 1).await?;
    books::write_members(&pool).await?;
    let scratch = ScratchDir::new("rates")?;
    let applicants = applicants(scratch.path())?;

    let any = any_below(members);
    let url = |service: &str, path: &str| format!("{}/{path}", stack.service(service).url());
    let one_point = || Body::Same(r#"{"requirePoint":1}"#);
    let mut all = Vec::new();
    for (what, method, url, body) in [
        ("GET /members/{id}", "GET", url("member", &format!("members/{any}")), Body::None),
        ("GET /points/{id}", "GET", url("point", &format!("points/{any}")), Body::None),
        ("GET /mypages/{id}", "GET", url("mypage", &format!("mypages/{any}")), Body::None),
        ("PATCH /points/{id}", "PATCH", url("point", &format!("points/{any}")), one_point()),
        ("PATCH /points/1, one account", "PATCH", url("point", "points/1"), one_point()),
        ("POST /members", "POST", url("member", "members"), Body::AnyLine(applicants)),
    ] {
        let target = Target { method, url, body };
        eprintln!("{what} …");
        all.push(measure_one(stack, &pool, what, &target, each).await.context(what)?);
    }
    Ok(all)
}

async fn measure_one(
    stack: &Stack,
    pool: &PgPool,
    what: &'static str,
    target: &Target,
    each: Duration,
) -> anyhow::Result<Measured> {
    let before = process::cpu_times(stack)?;
    let most = oha::send(target, Pace::Saturating, CONNECTIONS, each).await?;
    let cpu = process::cpu_times_since(&before, stack)?;
    let caught_up = if target.method == "GET" { None } else { Some(catch_up(pool).await?) };
    let half = oha::send(target, Pace::Open(most.rate() / 2.0), CONNECTIONS, each).await?;
    if target.method != "GET" {
        catch_up(pool).await?;
    }
    Ok(Measured { what, most, half, cpu, caught_up })
}

/// Waits until everything is seen everywhere.
async fn catch_up(pool: &PgPool) -> sqlx::Result<Duration> {
    let start = Instant::now();
    while sqlx::query_scalar(IS_BEHIND).fetch_one(pool).await? {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(start.elapsed())
}

/// A regular expression of the ids from 1 to below a power of ten.
fn any_below(members: u32) -> String {
    format!("[1-9][0-9]{{0,{}}}", members.ilog10() - 1)
}

/// A file of bodies to join with, one a line.
fn applicants(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut lines = String::new();
    for number in 0..APPLICANTS {
        writeln!(lines, r#"{{"phoneNo":"0109{number:07}","nickname":"bench"}}"#)?;
    }
    let file = folder.join("applicants");
    std::fs::write(&file, lines)?;
    Ok(file)
}
