//! `point reconcile`: whether the entries, the balance and the lots of every account agree, and with my page.

use std::collections::HashMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, value_parser};
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::books::{self, Books};

const LOOK_EVERY: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(10);

/// What to compare, and how.
#[derive(Args, Clone, Debug)]
pub struct ReconcileArgs {
    /// Where my page is, such as http://localhost:8084/; left out, only point's own books are compared
    #[arg(long, env)]
    pub mypage_url: Option<Url>,

    /// Accounts that are compared at a time: so many are in memory
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(i64).range(1..=100_000))]
    pub batch: i64,

    /// How long my page may lag behind before a difference counts, in seconds
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(0..=3_600))]
    pub patience: u64,

    /// Say nothing of the progress
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Default)]
struct Tally {
    accounts: u64,
    entries: i64,
    differences: u64,
}

/// Compares everything and prints what differs: 0 when nothing does, 1 otherwise.
///
/// # Errors
/// When the database, my page or the output fails.
pub async fn reconcile(pool: &PgPool, args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    let mypage = args.mypage_url.as_ref().map(|base| MyPage::new(base, args.patience)).transpose()?;
    let expected = books::estimate(pool).await?;
    let mut after = (0, Uuid::nil());
    let mut tally = Tally::default();
    loop {
        let page = books::page(pool, after, args.batch).await?;
        let Some(last) = page.last() else { break };
        after = (last.member_id, last.membership_id);
        for difference in page.iter().filter_map(own_difference) {
            tally.differences += 1;
            writeln!(io::stdout(), "{difference}")?;
        }
        if let Some(mypage) = &mypage {
            for difference in mypage.differences(pool, &page).await? {
                tally.differences += 1;
                writeln!(io::stdout(), "{difference}")?;
            }
        }
        tally.accounts += page.len() as u64;
        tally.entries += page.iter().map(|books| books.entry_count).sum::<i64>();
        if !args.quiet {
            writeln!(io::stderr(), "{} of about {expected} accounts compared", tally.accounts)?;
        }
    }
    let Tally { accounts, entries, differences } = tally;
    writeln!(io::stdout(), "{accounts} accounts with {entries} entries compared, {differences} differences")?;
    Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is wrong with the books of an account, if anything is.
fn own_difference(books: &Books) -> Option<String> {
    let Books { member_id, membership_id, is_open, balance, entries, lots, .. } = books;
    let agrees = balance == entries && balance == lots && (*is_open || *balance == 0);
    (!agrees).then(|| {
        let state = if *is_open { "open" } else { "closed" };
        format!(
            "member {member_id} ({membership_id}, {state}): balance {balance}, entries {entries}, lots {lots}"
        )
    })
}

struct MyPage {
    http: Client,
    base: Url,
    patience: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    remain_point: i64,
}

impl MyPage {
    fn new(base: &Url, patience: u64) -> anyhow::Result<Self> {
        let http = Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self { http, base: base.clone(), patience: Duration::from_secs(patience) })
    }

    /// What my page shows otherwise, also after it has had time to catch up.
    async fn differences(&self, pool: &PgPool, page: &[Books]) -> anyhow::Result<Vec<String>> {
        let open = || page.iter().filter(|books| books.is_open);
        let (Some(first), Some(last)) = (open().next(), open().next_back()) else { return Ok(Vec::new()) };
        let shown = self.between(first.member_id, last.member_id).await?;
        let mut differences = Vec::new();
        for books in open().filter(|books| shown.get(&books.member_id) != Some(&books.balance)) {
            differences.extend(self.difference(pool, books).await?);
        }
        Ok(differences)
    }

    /// Looks at one account again and again, on both sides, until they agree or my page has had its time.
    async fn difference(&self, pool: &PgPool, books: &Books) -> anyhow::Result<Option<String>> {
        let deadline = tokio::time::Instant::now() + self.patience;
        loop {
            let shown = self.one(books.member_id).await?;
            let before = (books.member_id, Uuid::from_u128(books.membership_id.as_u128().saturating_sub(1)));
            let now = books::page(pool, before, 1).await?;
            let now = now.into_iter().find(|now| now.membership_id == books.membership_id && now.is_open);
            // Who has withdrawn meanwhile has no page, or soon will not.
            let Some(now) = now else { return Ok(None) };
            if shown == Some(now.balance) {
                return Ok(None);
            }
            if tokio::time::Instant::now() > deadline {
                let shown = shown.map_or("nothing".to_owned(), |shown| shown.to_string());
                let (member_id, balance) = (now.member_id, now.balance);
                return Ok(Some(format!("member {member_id}: balance {balance}, my page shows {shown}")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The balances on the pages from one member to another, page by page of the collection.
    async fn between(&self, first: i64, last: i64) -> anyhow::Result<HashMap<i64, i64>> {
        let mut shown = HashMap::new();
        let mut after = first - 1;
        while after < last {
            let url = self.base.join(&format!("mypages?limit=200&after={after}"))?;
            let answer = self.http.get(url).send().await.context("my page does not answer")?;
            ensure!(answer.status().is_success(), "my page answers {}", answer.status());
            let body: Value = answer.json().await.context("my page answers nonsense")?;
            let pages = body["_embedded"]["mypages"].as_array().cloned().unwrap_or_default();
            let Some(furthest) = pages.last().and_then(|page| page["memberId"].as_i64()) else { break };
            let balance = |page: &Value| Some((page["memberId"].as_i64()?, page["remainPoint"].as_i64()?));
            shown.extend(pages.iter().filter_map(balance));
            after = furthest;
        }
        Ok(shown)
    }

    async fn one(&self, member_id: i64) -> anyhow::Result<Option<i64>> {
        let url = self.base.join(&format!("mypages/{member_id}"))?;
        let answer = self.http.get(url).send().await.context("my page does not answer")?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        ensure!(answer.status().is_success(), "my page answers {}", answer.status());
        let shown: Shown = answer.json().await.context("my page answers nonsense")?;
        Ok(Some(shown.remain_point))
    }
}
