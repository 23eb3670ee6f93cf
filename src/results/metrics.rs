//! The metrics of the polls, the rate limiter and the shared cache.

mod final_results;

use crate::{error::Reason, telemetry::metrics::Registry};
use final_results::FinalResults;
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// What a permit is for, as the label `need` names it.
pub const NEEDS: [&str; 4] = ["first_read", "re_read", "capture", "not_found"];

const READ_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Two reads of a session are half a second apart, and some seconds under a scarce quota. The
/// service level has 5 s.
const FINAL_RESULT_DELAY_SECONDS: &[f64] = &[0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0];
const LIMITER_SECONDS: &[f64] = &[0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

pub struct ResultsMetrics {
    /// Reads from AWS by outcome: `OK`, or the reason of the error.
    pub reads: IntCounterVec,
    pub read_seconds: Histogram,
    pub final_results: FinalResults,
    /// Of sessions that became final while a caller waited: the time that callers waited since the
    /// last pending read. AWS does not report when a session ended, but it was not earlier.
    pub final_result_delay_seconds: Histogram,
    /// Callers that joined a running poll, and so cost no read.
    pub polls_shared: IntCounter,
    /// Later reads that contradict the first final result of their session.
    pub contradictions: IntCounter,
    pub limiter_wait_seconds: Histogram,
    /// Lookups in the shared cache: `hit`, `miss`, `unreadable`.
    pub shared_cache_lookups: IntCounterVec,
    // Set at each scrape.
    pub polls: IntGauge,
    pub limiter_rate: Gauge,
    pub limiter_queue: IntGaugeVec,
}

impl ResultsMetrics {
    /// `min_confidence` is the server's threshold.
    pub fn new(registry: &Registry, min_confidence: Option<f32>) -> Self {
        let reasons = Reason::ALL.map(Reason::name).into_iter().filter(|reason| is_of_a_read(reason));
        let outcomes: Vec<_> = reasons.chain(["OK"]).collect();
        Self {
            reads: registry.counters(
                "face_liveness_upstream_reads_total",
                "Reads from AWS, by OK or the reason of the error.",
                ("outcome", &outcomes),
            ),
            read_seconds: registry.histogram(
                "face_liveness_upstream_read_seconds",
                "Duration of reads from AWS, in seconds.",
                READ_SECONDS,
            ),
            final_results: FinalResults::new(registry, min_confidence),
            final_result_delay_seconds: registry.histogram(
                "face_liveness_final_result_delay_seconds",
                "Upper bound of the time from the end of a session to the read that found it final, while callers waited, in seconds.",
                FINAL_RESULT_DELAY_SECONDS,
            ),
            polls_shared: registry.counter("face_liveness_polls_shared_total", "Callers that joined a running poll."),
            contradictions: registry.counter(
                "face_liveness_results_contradicted_total",
                "Later reads that contradicted the first final result of their session, and were discarded.",
            ),
            limiter_wait_seconds: registry.histogram(
                "face_liveness_limiter_wait_seconds",
                "Time that reads waited for a permit of the rate limiter, in seconds.",
                LIMITER_SECONDS,
            ),
            shared_cache_lookups: registry.counters(
                "face_liveness_shared_cache_lookups_total",
                "Lookups in the shared cache: found, absent, or present but not decryptable.",
                ("outcome", &["hit", "miss", "unreadable"]),
            ),
            polls: registry.gauge("face_liveness_polls", "Sessions with a running poll."),
            limiter_rate: registry.float_gauge(
                "face_liveness_limiter_rate",
                "Current rate of permits per second, of all replicas while they share the quota; 0 without a limiter.",
            ),
            limiter_queue: registry.gauges(
                "face_liveness_limiter_queue",
                "Reads in the queue of the rate limiter, by need.",
                ("need", &NEEDS),
            ),
        }
    }
}

/// Whether a read can end with this reason. The other reasons are of requests that made no read.
fn is_of_a_read(reason: &str) -> bool {
    reason.starts_with("UPSTREAM_") || ["SESSION_NOT_FOUND", "INTERNAL"].contains(&reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_exists_before_the_first_event() {
        let registry = Registry::default();
        ResultsMetrics::new(&registry, None);
        let text = registry.text();
        for series in [
            r#"face_liveness_upstream_reads_total{outcome="OK"} 0"#,
            r#"face_liveness_upstream_reads_total{outcome="UPSTREAM_THROTTLED"} 0"#,
            r#"face_liveness_limiter_queue{need="first_read"} 0"#,
            "face_liveness_limiter_wait_seconds_count 0",
        ] {
            assert!(text.contains(series), "{series} in\n{text}");
        }
        let never = r#"face_liveness_upstream_reads_total{outcome="INVALID_REQUEST"}"#;
        assert!(!text.contains(never), "no read ends with this reason");
    }
}
