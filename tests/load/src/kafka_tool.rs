//! Kafka's own command-line tools on the broker of a stack: what a producer and a consumer without any effect reach there.

use std::process::Stdio;

use anyhow::{Context, ensure};
use local_stack::kafka::Kafka;
use serde_json::Value;
use tokio::process::Command;

const PACKAGE: &str = "org.apache.kafka.tools";

/// Creates a topic.
pub async fn create_topic(kafka: &Kafka, topic: &str, partitions: u32) -> anyhow::Result<()> {
    let partitions = partitions.to_string();
    let arguments = ["--create", "--topic", topic, "--partitions", &partitions, "--replication-factor", "1"];
    run(kafka, "TopicCommand", &arguments).await?;
    Ok(())
}

/// How many bytes the log of a topic has.
pub async fn log_size(kafka: &Kafka, topic: &str) -> anyhow::Result<u64> {
    let output = run(kafka, "LogDirsCommand", &["--describe", "--topic-list", topic]).await?;
    let json = output.lines().find(|line| line.starts_with('{')).context("no JSON of the log folders")?;
    let tree: Value = serde_json::from_str(json)?;
    let list = |of: &Value, name: &str| of[name].as_array().cloned().unwrap_or_default();
    let folders = list(&tree, "brokers").into_iter().flat_map(|broker| list(&broker, "logDirs"));
    let partitions = folders.flat_map(|folder| list(&folder, "partitions"));
    Ok(partitions.filter_map(|partition| partition["size"].as_u64()).sum())
}

/// How many records a second one producer writes, as fast as it can, with `acks=all` and all else by default.
pub async fn producer_rate(kafka: &Kafka, topic: &str, records: u32, bytes_each: u64) -> anyhow::Result<f64> {
    let (records, bytes_each) = (records.to_string(), bytes_each.to_string());
    let arguments = [
        ["--topic", topic],
        ["--num-records", &records],
        ["--record-size", &bytes_each],
        ["--throughput", "-1"],
        ["--command-property", "acks=all"],
    ];
    let output = run(kafka, "ProducerPerformance", arguments.as_flattened()).await?;
    // The last line is about all of them: "1000 records sent, 5000.0 records/sec (1.0 MB/sec), …".
    let total = output.lines().rfind(|line| line.contains(" records sent, ")).context("no records sent")?;
    let rate = total.split(", ").nth(1).and_then(|part| part.split(' ').next()).context("no rate")?;
    rate.parse().with_context(|| format!("not a rate: {rate}"))
}

/// How many records a second one consumer reads from the beginning, with all by default; joining its group counts.
pub async fn consumer_rate(kafka: &Kafka, topic: &str, records: u32) -> anyhow::Result<f64> {
    let records = records.to_string();
    let arguments = ["--topic", topic, "--num-records", &records, "--hide-header"];
    let output = run(kafka, "ConsumerPerformance", &arguments).await?;
    // start, end, MB, MB a second, records, records a second, and more that tells the joining apart
    let total = output.lines().rfind(|line| line.split(", ").count() == 10).context("no result")?;
    let rate = total.split(", ").nth(5).context("no rate")?;
    rate.parse().with_context(|| format!("not a rate: {rate}"))
}

/// What a tool prints.
async fn run(kafka: &Kafka, class: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::from(kafka.tool(&format!("{PACKAGE}.{class}")));
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = command.output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{class}: {}\n{text}", output.status);
    Ok(text)
}
