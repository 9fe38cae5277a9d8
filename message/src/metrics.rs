//! The metrics of message: what each tells, and the series that are shown from the start.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use shared_events::event::MessageKind;

use crate::domain::{MessageStatus, Scope};

const ATTEMPTED: &str = "messages_attempted_total";
const BLOCKED: &str = "messages_blocked_total";
const FINISHED: &str = "messages_finished_total";
const QUEUED: &str = "messages_queued";
const OVERDUE: &str = "messages_overdue_seconds";
const GATEWAY: &str = "sms_gateway_duration_seconds";

const KINDS: [MessageKind; 2] = [MessageKind::Welcome, MessageKind::ExpiryNotice];
const FINAL: [MessageStatus; 3] = [MessageStatus::Sent, MessageStatus::Failed, MessageStatus::Cancelled];

/// Describes the metrics and shows every series, so that an alert sees a change and not an appearance.
pub fn start() {
    describe_counter!(ATTEMPTED, "Attempts to send a message, by what they came to");
    describe_counter!(BLOCKED, "How often the spending guard held a message back, by the limit that did");
    describe_counter!(
        FINISHED,
        "Messages that were sent, have failed for good, or were cancelled by a withdrawal"
    );
    describe_gauge!(QUEUED, "Messages of the service that wait to be sent");
    describe_gauge!(OVERDUE, "For how long the message that waits longest has been due");
    describe_histogram!(GATEWAY, "How long exchanges with the SMS gateway took, by what they came to");
    for kind in KINDS.map(MessageKind::as_str) {
        for outcome in ["sent", "failed", "postponed"] {
            counter!(ATTEMPTED, "kind" => kind, "outcome" => outcome).absolute(0);
        }
        for status in FINAL {
            counter!(FINISHED, "kind" => kind, "status" => status.as_str()).absolute(0);
        }
    }
    for scope in Scope::ALL {
        counter!(BLOCKED, "limit" => scope.as_str()).absolute(0);
    }
    for exchange in ["find", "send"] {
        for outcome in ["ok", "refused", "unavailable", "unknown"] {
            let _ = histogram!(GATEWAY, "exchange" => exchange, "outcome" => outcome);
        }
    }
}

/// Counts an attempt to send.
pub(crate) fn attempted(kind: MessageKind, outcome: &'static str) {
    counter!(ATTEMPTED, "kind" => kind.as_str(), "outcome" => outcome).increment(1);
}

/// Counts a message that the spending guard holds back; once its transaction has committed.
pub(crate) fn blocked(scope: Scope) {
    counter!(BLOCKED, "limit" => scope.as_str()).increment(1);
}

/// Counts a message that has come to its end; once its transaction has committed.
pub(crate) fn finished(kind: MessageKind, status: MessageStatus) {
    counter!(FINISHED, "kind" => kind.as_str(), "status" => status.as_str()).increment(1);
}

/// Measures an exchange with the gateway.
pub(crate) fn exchanged(what: &'static str, outcome: &'static str, elapsed: Duration) {
    histogram!(GATEWAY, "exchange" => what, "outcome" => outcome).record(elapsed);
}

/// Shows how many messages wait, and for how many seconds the one that has been due for longest.
pub(crate) fn waiting(count: i64, overdue: f64) {
    gauge!(QUEUED).set(count as f64);
    gauge!(OVERDUE).set(overdue);
}
