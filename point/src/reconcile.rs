//! `point reconcile`: whether the entries, the balance and the lots of every account agree, and with my page.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::mem;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use backon::{ExponentialBuilder, Retryable};
use chassis::error::chain;
use clap::{Args, value_parser};
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use crate::domain::TransactionId;
use crate::store::books::{self, Books};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// As many as my page lists at once.
const PAGES_AT_A_TIME: u32 = 200;
/// So many members that differ are remembered until the end.
const MOST_SUSPECTS: usize = 100_000;
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often my page is asked again when it fails, and how long after the first time; twice as long after each further one.
const RETRIES: usize = 5;
const FIRST_RETRY: Duration = Duration::from_millis(200);

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

impl Tally {
    fn note(&mut self, difference: &str) -> io::Result<()> {
        self.differences += 1;
        writeln!(io::stdout(), "{difference}")
    }
}

/// Compares everything and prints what differs: 0 when nothing does, 1 when something does, 2 when not all could be compared.
///
/// # Errors
/// When the output fails; anything else that fails is logged.
pub async fn reconcile(pool: &PgPool, args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    let mut tally = Tally::default();
    let compared = compare(pool, args, &mut tally).await;
    let Tally { accounts, entries, differences } = tally;
    writeln!(io::stdout(), "{accounts} accounts with {entries} entries compared, {differences} differences")?;
    Ok(match compared {
        Err(error) => {
            tracing::error!(error = chain(error.as_ref()), "not everything was compared");
            ExitCode::from(2)
        }
        Ok(()) if differences > 0 => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
    })
}

async fn compare(pool: &PgPool, args: &ReconcileArgs, tally: &mut Tally) -> anyhow::Result<()> {
    let mut mypage = args.mypage_url.as_ref().map(|base| MyPage::new(base, args.patience)).transpose()?;
    let expected = books::estimate(pool).await?;
    let mut after = (0, Uuid::nil());
    loop {
        let page = books::page(pool, after, args.batch).await?;
        for difference in page.iter().filter_map(own_difference) {
            tally.note(&difference)?;
        }
        let last = page.last().map(|books| (books.member_id, books.membership_id));
        if let Some(mypage) = &mut mypage {
            let until = last.map_or(i64::MAX, |(member_id, _)| member_id);
            mypage.compare(pool, &page, after.0, until, tally).await?;
        }
        let Some(last) = last else { break };
        after = last;
        tally.accounts += page.len() as u64;
        tally.entries += page.iter().map(|books| books.entry_count).sum::<i64>();
        if !args.quiet {
            writeln!(io::stderr(), "{} of about {expected} accounts compared", tally.accounts)?;
        }
    }
    if let Some(mypage) = &mut mypage {
        mypage.settle(pool, tally).await?;
    }
    Ok(())
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

/// My page, and the members whose balance it has shown otherwise. It may only lag behind, so they are looked at again in the
/// end.
struct MyPage {
    http: Client,
    base: Url,
    patience: Duration,
    suspects: BTreeSet<i64>,
}

/// A page: whose, and the balance on it.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    member_id: i64,
    remain_point: i64,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "_embedded")]
    embedded: Pages,
}

#[derive(Deserialize)]
struct Pages {
    mypages: Vec<Shown>,
}

impl MyPage {
    fn new(base: &Url, patience: u64) -> anyhow::Result<Self> {
        let http = Client::builder().timeout(TIMEOUT).build()?;
        let patience = Duration::from_secs(patience);
        Ok(Self { http, base: base.clone(), patience, suspects: BTreeSet::new() })
    }

    /// Compares the open accounts of the members behind one up to another with their pages, from both sides.
    async fn compare(
        &mut self,
        pool: &PgPool,
        accounts: &[Books],
        behind: i64,
        until: i64,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let open = accounts.iter().filter(|books| books.is_open);
        let mut balances: BTreeMap<i64, i64> = open.map(|books| (books.member_id, books.balance)).collect();
        let mut behind = behind;
        while behind < until {
            let pages = self.list(behind).await?;
            let Some(furthest) = pages.last() else { break };
            ensure!(
                furthest.member_id > behind,
                "my page lists member {} behind {behind}",
                furthest.member_id
            );
            behind = furthest.member_id;
            for Shown { member_id, remain_point } in pages {
                if member_id <= until && balances.remove(&member_id) != Some(remain_point) {
                    self.suspects.insert(member_id);
                }
            }
            self.settle_many(pool, tally).await?;
        }
        self.suspects.extend(balances.into_keys());
        self.settle_many(pool, tally).await
    }

    /// Does not let the suspects become more and more.
    async fn settle_many(&mut self, pool: &PgPool, tally: &mut Tally) -> anyhow::Result<()> {
        if self.suspects.len() >= MOST_SUSPECTS {
            self.settle(pool, tally).await?;
        }
        Ok(())
    }

    /// Looks at the suspects again and again, on both sides, until they agree or my page has had its time.
    async fn settle(&mut self, pool: &PgPool, tally: &mut Tally) -> anyhow::Result<()> {
        let (newest, deadline) = (books::newest_entry(pool).await?, Instant::now() + self.patience);
        while !self.suspects.is_empty() {
            let has_had_its_time = Instant::now() >= deadline;
            for member_id in mem::take(&mut self.suspects) {
                match self.difference(pool, member_id, newest).await? {
                    Some(difference) if has_had_its_time => tally.note(&difference)?,
                    Some(_) => {
                        self.suspects.insert(member_id);
                    }
                    None => {}
                }
            }
            if !self.suspects.is_empty() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    /// How my page and the account of a member differ, if they do. An account that changes all the time does not when my page
    /// shows what it had after an entry behind that one.
    async fn difference(
        &self,
        pool: &PgPool,
        member_id: i64,
        behind: TransactionId,
    ) -> anyhow::Result<Option<String>> {
        // In this order: what is shown is not newer than what is compared with it.
        let shown = self.one(member_id).await?;
        let balance = books::open_balance(pool, member_id).await?;
        if shown == balance {
            return Ok(None);
        }
        if let Some(shown) = shown
            && books::has_had_balance(pool, member_id, shown, behind).await?
        {
            return Ok(None);
        }
        let shown = shown.map_or("nothing".to_owned(), |points| points.to_string());
        Ok(Some(match balance {
            Some(balance) => format!("member {member_id}: balance {balance}, my page shows {shown}"),
            None => format!("member {member_id}: no open account, my page shows {shown}"),
        }))
    }

    /// The next pages behind that of a member.
    async fn list(&self, behind: i64) -> anyhow::Result<Vec<Shown>> {
        let listed: Option<Listed> =
            self.get(&format!("mypages?limit={PAGES_AT_A_TIME}&after={behind}")).await?;
        Ok(listed.context("my page has no list")?.embedded.mypages)
    }

    async fn one(&self, member_id: i64) -> anyhow::Result<Option<i64>> {
        let shown: Option<Shown> = self.get(&format!("mypages/{member_id}")).await?;
        Ok(shown.map(|shown| shown.remain_point))
    }

    /// What is at a path, if anything is.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let url = self.base.join(path)?;
        let delays = ExponentialBuilder::default().with_min_delay(FIRST_RETRY).with_max_times(RETRIES);
        (|| self.get_once(url.clone())).retry(delays).await
    }

    async fn get_once<T: DeserializeOwned>(&self, url: Url) -> anyhow::Result<Option<T>> {
        let answer = self.http.get(url).send().await.context("my page does not answer")?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        ensure!(answer.status().is_success(), "my page answers {}", answer.status());
        Ok(Some(answer.json().await.context("my page answers nonsense")?))
    }
}
