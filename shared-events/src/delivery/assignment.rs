//! Which part of the topics this replica reads.

use metrics::gauge;
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};

const ASSIGNED: &str = "consumer_partitions_assigned";

/// Tells the log and the metrics whenever the group shares the partitions out anew. A service that reacts to nothing
/// although it is ready is one without partitions.
pub(super) struct Assignment;

impl Assignment {
    pub(super) fn new() -> Self {
        gauge!(ASSIGNED).set(0);
        Self
    }
}

impl ClientContext for Assignment {}

impl ConsumerContext for Assignment {
    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let assigned = match rebalance {
            Rebalance::Assign(partitions) => u32::try_from(partitions.count()).unwrap_or(u32::MAX),
            Rebalance::Revoke(_) | Rebalance::Error(_) => 0,
        };
        gauge!(ASSIGNED).set(assigned);
        tracing::info!(assigned, "the partitions were shared out");
    }
}
