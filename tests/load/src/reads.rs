//! Reads, beside pgbench with the same SELECT.

use std::time::Duration;

use anyhow::Context;
use local_stack::stack::Stack;

use crate::baseline::Baseline;
use crate::commands::CLIENTS;
use crate::oha::{self, Pace};
use crate::scripts::{self, Script};
use crate::table::Row;
use crate::{process, progress};

const READS: [(&str, &str, Script); 3] = [
    ("member", "members", scripts::MEMBER),
    ("point", "points", scripts::ACCOUNT),
    ("mypage", "mypages", scripts::PAGE),
];

/// Looks at any member, account and page.
pub async fn measure(
    stack: &Stack,
    baseline: &Baseline,
    members: u32,
    each: Duration,
) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (service, path, script) in READS {
        let what = format!("GET /{path}/{{id}}");
        let url = format!("{}/{path}/{}", stack.service(service).url(), any_below(members));
        rows.push(one(stack, baseline, &what, &url, script, each).await.context(what)?);
    }
    Ok(rows)
}

async fn one(
    stack: &Stack,
    baseline: &Baseline,
    what: &str,
    url: &str,
    script: Script,
    each: Duration,
) -> anyhow::Result<Row> {
    progress::say(format!("{what}: pgbench"));
    let alone = baseline.rate(script, CLIENTS, each).await?;
    progress::say(format!("{what}: as fast as can be, then half of it"));
    let before = process::cpu_times(stack)?;
    let most = oha::get(url, Pace::Saturating(CLIENTS), each).await?;
    let cpu = process::cpu_times_since(&before, stack)?;
    let rate = most.rate() / 2.0;
    let half = oha::get(url, Pace::Open(rate), each).await?;
    let row = Row::new(what, most.rate()).failures_of(&most).failures_of(&half);
    Ok(row.latency(rate, half.latency).cpu(&cpu, most.served).beside("pgbench", alone))
}

/// A regular expression of the ids from 1 to below a power of ten.
fn any_below(members: u32) -> String {
    format!("[1-9][0-9]{{0,{}}}", members.ilog10() - 1)
}
