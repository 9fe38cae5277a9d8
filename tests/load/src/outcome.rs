//! What came of requests that were sent, whoever sent them.

use hdrhistogram::Histogram;
use serde::Serialize;

/// What came of requests.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Successful answers.
    pub served: u64,
    /// Answers that are no success, and requests without any.
    pub failed: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// How long the answers took.
    pub latency: Percentiles,
}

impl Outcome {
    /// Successful answers a second.
    pub fn rate(&self) -> f64 {
        self.served as f64 / self.seconds
    }
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Percentiles {
    /// The mean.
    pub mean: f64,
    /// Half of them are below.
    pub p50: f64,
    /// 95 % are.
    pub p95: f64,
    /// 99 % are.
    pub p99: f64,
    /// 99.9 % are.
    pub p999: f64,
}

impl From<&Histogram<u64>> for Percentiles {
    /// From microseconds.
    fn from(micros: &Histogram<u64>) -> Self {
        let ms = |quantile| micros.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { mean: micros.mean() / 1_000.0, p50: ms(0.5), p95: ms(0.95), p99: ms(0.99), p999: ms(0.999) }
    }
}
