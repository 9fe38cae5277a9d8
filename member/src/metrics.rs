//! The metrics of member: what each tells, and the series that are shown from the start. Those of the call to point are in
//! [`crate::point_client`].

use metrics::{counter, describe_counter};
use shared_events::event::MemberStatus;

use crate::point_client::Reason;

const TRANSITIONS: &str = "member_transitions_total";
const FALLBACKS: &str = "withdrawal_fallbacks_total";

const WITHDRAWN: &str = "WITHDRAWN";

/// Describes the metrics and shows every series, so that an alert sees a change and not an appearance.
pub fn start() {
    describe_counter!(TRANSITIONS, "Members by what they became: READY by joining");
    describe_counter!(FALLBACKS, "Withdrawals that did not complete, by why and by what is left behind");
    let statuses = [MemberStatus::Ready, MemberStatus::Normal, MemberStatus::Abnormal];
    for status in statuses.map(MemberStatus::as_str).into_iter().chain([WITHDRAWN]) {
        counter!(TRANSITIONS, "to" => status).absolute(0);
    }
    for reason in Reason::ALL.map(Reason::as_str).into_iter().chain(["database"]) {
        for outcome in ["unchanged", "unknown"] {
            counter!(FALLBACKS, "reason" => reason, "outcome" => outcome).absolute(0);
        }
    }
}

/// Counts a member that has joined or whose welcome has ended; once the transaction has committed.
pub(crate) fn became(status: MemberStatus) {
    counter!(TRANSITIONS, "to" => status.as_str()).increment(1);
}

/// Counts a member that has withdrawn; once the transaction has committed.
pub(crate) fn withdrew() {
    counter!(TRANSITIONS, "to" => WITHDRAWN).increment(1);
}

/// Counts a withdrawal that did not complete.
pub(crate) fn fell_back(reason: &'static str, outcome: &'static str) {
    counter!(FALLBACKS, "reason" => reason, "outcome" => outcome).increment(1);
}
