//! The report of `siege`, the load generator whose figures are known of the system that this one replaces.

use std::time::Duration;

use crate::load::Seen;

/// What a load has seen, in the form of siege's report. Failed is what had no answer, or one that blames the service.
#[must_use]
pub fn siege_report(seen: &[Seen], elapsed: Duration) -> String {
    let total = seen.len();
    let failed = seen.iter().filter(|seen| !seen.is_served()).count();
    let successful = total - failed;
    let megabytes = seen.iter().map(bytes).sum::<usize>() as f64 / 1_048_576.0;
    let (seconds, busy) = (elapsed.as_secs_f64(), seen.iter().map(|seen| seen.latency).sum::<Duration>());
    let latencies = || seen.iter().map(|seen| seen.latency.as_secs_f64());
    let lines = [
        ("Transactions:", format!("{total} hits")),
        ("Availability:", format!("{:.2} %", 100.0 * successful as f64 / total as f64)),
        ("Elapsed time:", format!("{seconds:.2} secs")),
        ("Data transferred:", format!("{megabytes:.2} MB")),
        ("Response time:", format!("{:.4} secs", busy.as_secs_f64() / total as f64)),
        ("Transaction rate:", format!("{:.2} trans/sec", total as f64 / seconds)),
        ("Throughput:", format!("{:.2} MB/sec", megabytes / seconds)),
        ("Concurrency:", format!("{:.2}", busy.as_secs_f64() / seconds)),
        ("Successful transactions:", successful.to_string()),
        ("Failed transactions:", failed.to_string()),
        ("Longest transaction:", format!("{:.2}", latencies().fold(0.0, f64::max))),
        ("Shortest transaction:", format!("{:.2}", latencies().fold(f64::INFINITY, f64::min))),
    ];
    lines.map(|(name, value)| format!("{name:<26}{value}\n")).concat()
}

/// The services send their JSON as compact as it is counted here.
fn bytes(seen: &Seen) -> usize {
    seen.answer.as_ref().map_or(0, |answer| answer.body.to_string().len())
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::client::Answer;

    fn seen(status: Option<u16>, millis: u64) -> Seen {
        let answer = |status| Answer { status: StatusCode::from_u16(status).unwrap(), body: json!({}) };
        Seen { what: "GET", answer: status.map(answer), latency: Duration::from_millis(millis) }
    }

    #[test]
    fn no_answer_and_a_5xx_are_failures_and_a_refusal_is_not() {
        let seen = [seen(Some(200), 100), seen(Some(409), 100), seen(Some(503), 300), seen(None, 500)];

        let report = siege_report(&seen, Duration::from_secs(2));

        for line in [
            "Transactions:             4 hits",
            "Availability:             50.00 %",
            "Response time:            0.2500 secs",
            "Transaction rate:         2.00 trans/sec",
            "Concurrency:              0.50",
            "Failed transactions:      2",
            "Longest transaction:      0.50",
            "Shortest transaction:     0.10",
        ] {
            assert!(report.lines().any(|it| it == line), "{line} is not in\n{report}");
        }
    }
}
