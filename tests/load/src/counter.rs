//! What a service has counted since its start: cheaper to ask than Postgres, whose work is being measured.

use std::sync::LazyLock;

use anyhow::Context;
use local_stack::service::ServiceProcess;
use reqwest::Client;

/// One for all: each new one reads the certificates of the machine, which takes as long as hundreds of requests.
static HTTP: LazyLock<Client> = LazyLock::new(Client::new);

/// The sum of a counter's series that have a label such as `outcome="sent"`; an empty one is in all of them.
pub async fn counter(service: &ServiceProcess, name: &str, label: &str) -> anyhow::Result<u64> {
    let metrics = HTTP.get(format!("{}/metrics", service.internal_url())).send().await?.text().await?;
    let is_series = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
    };
    let counts = metrics.lines().filter(is_series).map(|line| {
        let count = line.rsplit(' ').next().context("no value")?;
        Ok(count.parse::<u64>()?)
    });
    counts.sum()
}
