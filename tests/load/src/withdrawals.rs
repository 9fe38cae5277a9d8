//! The withdrawal drill: point is slow, and member must be patient.

use std::time::Duration;

use local_stack::stack::Stack;
use serde_json::json;
use sqlx::PgPool;

use crate::hot_statements::HotStatements;
use crate::oha::Pace;
use crate::outcome::Outcome;
use crate::table::Row;
use crate::vegeta::{Request, Vegeta};
use crate::{books, process, progress};

/// Those who withdraw at a time.
const CLIENTS: u32 = 100;
/// More do not withdraw in a second: a forfeiture takes 400 ms at least.
const FASTEST: u32 = 250;
/// Those who join meanwhile, a second.
const JOINS: f64 = 50.0;
/// Those who withdraw, and who join, a second, before that is measured.
const WARM_UP_RATE: f64 = 20.0;
const WARM_UP: Duration = Duration::from_secs(10);
/// The first members are theirs: one more than they are in all, at least, as vegeta wants.
const EARLY: u32 = 250;
/// What the system that this one replaces came to: withdrawals a second.
const REPLACED: f64 = 17.15;

/// The settings that make point slow: service, name, value.
pub fn settings() -> Vec<(String, String, String)> {
    [("point", "FAULT_FORFEIT_DELAY_MS", "400..620"), ("member", "FORFEIT_ATTEMPT_TIMEOUT_MS", "610")]
        .map(|(service, name, value)| (service.to_owned(), name.to_owned(), value.to_owned()))
        .into()
}

/// Has members withdraw for so long, while others join.
pub async fn drill(
    stack: &Stack,
    duration: Duration,
    statements: &HotStatements,
) -> anyhow::Result<Vec<Row>> {
    let pool = PgPool::connect(&stack.database.admin_url()).await?;
    let members = EARLY + FASTEST * u32::try_from(duration.as_secs())?;
    books::write(&pool, members.into(), 1).await?;
    books::write_members(&pool).await?;
    let url = format!("{}/members", stack.service("member").url());
    let vegeta = Vegeta::new()?;
    let withdraw = |id: u32| Request { method: "DELETE", url: format!("{url}/{id}"), key: None, body: None };
    let join = |number: u32| Request {
        method: "POST",
        url: url.clone(),
        key: None,
        body: Some(json!({ "phoneNo": format!("0108{number:07}"), "nickname": "bench" })),
    };
    let (early, late) = (1..=EARLY, EARLY + 1..=members);
    progress::say("some withdraw and join, so that all warm up");
    tokio::try_join!(
        vegeta.send(early.clone().map(withdraw), Pace::Open(WARM_UP_RATE), WARM_UP),
        vegeta.send(early.map(join), Pace::Open(WARM_UP_RATE), WARM_UP),
    )?;
    progress::say(format!("{CLIENTS} clients withdraw for {} s, while others join", duration.as_secs()));
    statements.forget().await?;
    let before = process::cpu_times(stack)?;
    let (withdrawn, joined): (Outcome, Outcome) = tokio::try_join!(
        vegeta.send(late.clone().map(withdraw), Pace::Saturating(CLIENTS), duration),
        vegeta.send(late.map(join), Pace::Open(JOINS), duration),
    )?;
    let cpu = process::cpu_times_since(&before, stack)?;
    let share = 100.0 * withdrawn.served as f64 / (withdrawn.served + withdrawn.failed) as f64;
    let case =
        format!("withdrawal drill: {share:.2} % withdrawn, mean {:.2} s", withdrawn.latency.mean / 1_000.0);
    let withdrawals = Row::new(case, withdrawn.rate())
        .failures_of(&withdrawn)
        .latency(withdrawn.rate(), withdrawn.latency)
        .cpu(&cpu, withdrawn.served)
        .beside("the system this replaces", REPLACED);
    let joins =
        Row::new("joins during the drill", joined.rate()).failures_of(&joined).latency(JOINS, joined.latency);
    Ok(vec![withdrawals, joins])
}
