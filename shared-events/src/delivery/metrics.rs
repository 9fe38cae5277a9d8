//! The metrics of delivery: what each tells, and those that are shown from the start, so that an alert sees a change and
//! not an appearance.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::topic::Topic;

pub(super) const OUTBOX_EVENTS: &str = "outbox_events";
pub(super) const OUTBOX_OLDEST_AGE: &str = "outbox_event_oldest_age_seconds";
pub(super) const RELAY_ACTIVE: &str = "outbox_relay_active";
pub(super) const RELAY_FAILURES: &str = "outbox_relay_failures_total";
pub(super) const RELAYED: &str = "outbox_relayed_total";

pub(super) const ASSIGNED: &str = "consumer_partitions_assigned";
pub(super) const HELD: &str = "consumer_partitions_held";
pub(super) const LAG: &str = "consumer_lag_records";
pub(super) const DELAY: &str = "event_delay_seconds";
pub(super) const HANDLED: &str = "events_handled_total";
pub(super) const RETRIED: &str = "events_retried_total";
pub(super) const UNKNOWN: &str = "events_unknown_total";
pub(super) const DUPLICATES: &str = "inbox_duplicates_total";
pub(super) const PARKED: &str = "parked_events";
pub(super) const PARKED_OLDEST_AGE: &str = "parked_event_oldest_age_seconds";
pub(super) const PARKED_TOTAL: &str = "parked_events_total";
pub(super) const SUPERSEDED: &str = "parked_events_superseded_total";

/// Those of a service that publishes.
pub(super) fn start_publishing() {
    describe_gauge!(OUTBOX_EVENTS, "Events in the outbox of the service, counted up to 100000");
    describe_gauge!(
        OUTBOX_OLDEST_AGE,
        "For how long the oldest event in the outbox has waited to be published"
    );
    describe_gauge!(RELAY_ACTIVE, "1 in the replica that publishes the outbox, 0 in the others");
    describe_counter!(RELAYED, "Events that the broker has confirmed");
    describe_counter!(RELAY_FAILURES, "How often the relay failed and started again from the first row");
    gauge!(RELAY_ACTIVE).set(0);
    counter!(RELAYED).absolute(0);
    counter!(RELAY_FAILURES).absolute(0);
}

/// Those of a service that reacts to events of these topics.
pub(super) fn start_subscribing(topics: &[Topic]) {
    describe_gauge!(ASSIGNED, "Partitions that this replica reads");
    describe_gauge!(HELD, "Partitions that are paused because their next event cannot be handled for now");
    describe_gauge!(
        LAG,
        "Records that are behind what this replica has dealt with, in the partitions that it reads"
    );
    describe_histogram!(DELAY, "From when an event was written to when its effect was committed here");
    describe_counter!(HANDLED, "Events that were handled, by what they came to");
    describe_counter!(RETRIED, "Attempts at an event that failed for now");
    describe_counter!(UNKNOWN, "Events of a type that this version does not know");
    describe_counter!(DUPLICATES, "Events that came again after they had been handled");
    describe_gauge!(PARKED, "Events of the service that are parked");
    describe_gauge!(PARKED_OLDEST_AGE, "For how long the oldest parked event has been parked");
    describe_counter!(PARKED_TOTAL, "Events that were parked");
    describe_counter!(SUPERSEDED, "Parked events that were removed because their member withdrew");
    gauge!(ASSIGNED).set(0);
    gauge!(HELD).set(0);
    counter!(RETRIED).absolute(0);
    for topic in topics.iter().map(|topic| topic.suffix()) {
        gauge!(LAG, "topic" => topic).set(0);
        let _ = histogram!(DELAY, "topic" => topic);
        for counter in [UNKNOWN, DUPLICATES, PARKED_TOTAL, SUPERSEDED] {
            counter!(counter, "topic" => topic).absolute(0);
        }
    }
}
