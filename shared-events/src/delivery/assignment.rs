//! Which part of the topics this replica reads, and how far behind it is.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics::gauge;
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use serde::Deserialize;

use super::metrics::{ASSIGNED, LAG};
use super::received::Origin;
use crate::topic::Topic;

/// Tells the log and the metrics whenever the group shares the partitions out anew, and the metrics from time to time
/// how many records are behind. A service that reacts to nothing although it is ready is one without partitions.
pub(super) struct Assignment {
    topic_prefix: String,
    topics: Vec<Topic>,
    assigned: Mutex<HashSet<Origin>>,
}

impl Assignment {
    pub(super) fn new(topic_prefix: &str, topics: &[Topic]) -> Self {
        Self { topic_prefix: topic_prefix.to_owned(), topics: topics.to_vec(), assigned: Mutex::default() }
    }

    fn assigned(&self) -> MutexGuard<'_, HashSet<Origin>> {
        self.assigned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, assigned: HashSet<Origin>) {
        let count = u32::try_from(assigned.len()).unwrap_or(u32::MAX);
        *self.assigned() = assigned;
        gauge!(ASSIGNED).set(count);
        tracing::info!(assigned = count, "the partitions were shared out");
    }

    /// Only what this replica reads counts: what it gave away is told by who has it now.
    fn show_lag(&self, statistics: &Statistics) {
        let mut lags: HashMap<Topic, i64> = self.topics.iter().map(|topic| (*topic, 0)).collect();
        let assigned = self.assigned();
        for (name, of_topic) in &statistics.topics {
            let Some(topic) = Topic::from_name(&self.topic_prefix, name) else { continue };
            for (partition, progress) in &of_topic.partitions {
                if assigned.contains(&(topic, *partition)) {
                    *lags.entry(topic).or_default() += progress.lag();
                }
            }
        }
        for (topic, lag) in lags {
            gauge!(LAG, "topic" => topic.suffix()).set(lag as f64);
        }
    }
}

impl ClientContext for Assignment {
    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice(statistics) {
            Ok(statistics) => self.show_lag(&statistics),
            Err(error) => tracing::warn!(%error, "the statistics of the Kafka client cannot be read"),
        }
    }
}

impl ConsumerContext for Assignment {
    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let assigned = match rebalance {
            Rebalance::Assign(partitions) => partitions
                .elements()
                .iter()
                .filter_map(|one| Some((Topic::from_name(&self.topic_prefix, one.topic())?, one.partition())))
                .collect(),
            Rebalance::Revoke(_) | Rebalance::Error(_) => HashSet::new(),
        };
        if assigned.is_empty() {
            self.show_lag(&Statistics::default());
        }
        self.change(assigned);
    }
}

/// What of the client's statistics tells the lag.
#[derive(Default, Deserialize)]
struct Statistics {
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: HashMap<i32, Progress>,
}

/// Offsets of a partition; negative where they are not known.
#[derive(Deserialize)]
struct Progress {
    /// The first record there is.
    lo_offset: i64,
    /// Behind the last record there is.
    hi_offset: i64,
    /// Behind what this replica has dealt with since it got the partition.
    stored_offset: i64,
    /// Behind what the group has committed.
    committed_offset: i64,
}

impl Progress {
    /// A group that has committed nothing begins with the first record.
    fn lag(&self) -> i64 {
        let dealt_with = self.stored_offset.max(self.committed_offset);
        let position = if dealt_with < 0 { self.lo_offset.max(0) } else { dealt_with };
        (self.hi_offset - position).max(0)
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_lag_is_what_is_behind_in_the_partitions_that_are_read() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let assignment = Assignment::new("mileage", &[Topic::Member, Topic::Point]);
        let partition = |lo: i64, hi: i64, stored: i64, committed: i64| json!({ "lo_offset": lo, "hi_offset": hi, "stored_offset": stored, "committed_offset": committed });
        let statistics = json!({ "topics": {
            "mileage.member": { "partitions": {
                "-1": partition(-1_001, -1_001, -1_001, -1_001),
                "0": partition(0, 100, 90, 80),
                "1": partition(0, 100, -1_001, 95),
                "2": partition(7, 10, -1_001, -1_001),
                "3": partition(-1_001, -1_001, -1_001, 5),
                "4": partition(0, 1_000_000, 1, 1),
            } },
            "elsewhere.member": { "partitions": { "0": partition(0, 1_000_000, 1, 1) } },
        } });
        metrics::with_local_recorder(&recorder, || {
            assignment.change((0..4).map(|partition| (Topic::Member, partition)).collect());
            assignment.stats_raw(statistics.to_string().as_bytes());
        });
        let rendered = recorder.handle().render();
        for line in [
            r#"consumer_lag_records{topic="member"} 18"#,
            r#"consumer_lag_records{topic="point"} 0"#,
            "consumer_partitions_assigned 4",
        ] {
            assert!(rendered.lines().any(|each| each == line), "no {line} in {rendered}");
        }

        metrics::with_local_recorder(&recorder, || {
            assignment.change(HashSet::new());
            assignment.stats_raw(statistics.to_string().as_bytes());
        });
        assert!(recorder.handle().render().contains(r#"consumer_lag_records{topic="member"} 0"#));
    }
}
