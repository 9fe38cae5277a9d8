//! What the services tell Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{SERVICES, World};

/// A metric as some services tell it.
#[derive(Debug, Default)]
pub struct Told {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// What it tells.
    pub help: String,
    /// By which services.
    pub services: BTreeSet<&'static str>,
    /// Its labels, and the values that they have.
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

/// The metrics of all services, by their names. Series such as `…_bucket` of a histogram are under their own names, too.
#[derive(Debug, Default)]
pub struct Metrics {
    /// What is described.
    pub metrics: BTreeMap<String, Told>,
    /// The labels of what can be asked for.
    pub series: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl Metrics {
    /// Those of the services of a world.
    pub async fn of(world: &World) -> Self {
        let mut metrics = Self::default();
        for service in SERVICES {
            metrics.add(service, &text(world, service).await);
        }
        metrics
    }

    fn add(&mut self, service: &'static str, text: &str) {
        let mut metric = String::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                help.clone_into(&mut self.metrics.entry(name.to_owned()).or_default().help);
            } else if let Some((name, kind)) =
                line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
            {
                name.clone_into(&mut metric);
                let told = self.metrics.entry(metric.clone()).or_default();
                kind.clone_into(&mut told.kind);
                told.services.insert(service);
            } else {
                let (series, _) = line.rsplit_once(' ').expect("a value");
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let told = self.metrics.entry(metric.clone()).or_default();
                let series = self.series.entry(name.to_owned()).or_default();
                for (label, value) in pairs(labels) {
                    series.entry(label.to_owned()).or_default().insert(value.to_owned());
                    if label != "le" {
                        told.labels.entry(label.to_owned()).or_default().insert(value.to_owned());
                    }
                }
            }
        }
    }
}

/// Labels and their values, none of which is escaped.
fn pairs(labels: &str) -> impl Iterator<Item = (&str, &str)> {
    let each = labels.trim_end_matches('}').trim_end_matches('"').split("\",");
    each.filter_map(|pair| pair.split_once("=\""))
}

/// What a service tells, as text.
pub async fn text(world: &World, service: &str) -> String {
    let url = format!("{}/metrics", world.service(service).internal_url());
    let answer = reqwest::get(url).await.expect("an answer");
    answer.text().await.expect("text")
}

/// The value of a series, such as `outbox_events` or `inbox_duplicates_total{topic="member"}`.
pub async fn value(world: &World, service: &str, series: &str) -> f64 {
    let text = text(world, service).await;
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.expect(series).parse().expect("a number")
}
