//! What is counted, under which names, for Prometheus.
//!
//! Every series is there from the start, at zero: a rate over a counter that appears with its first
//! event misses that event. Labels have values from this program's own tables only, never from
//! outside.

mod calls;
mod new;

pub use calls::Calls;
pub use prometheus::IntCounter;

use calls::AllCalls;
use new::{New, sound};
use prometheus::{Encoder, Gauge, Histogram, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

use crate::{
    results::LOOKUPS,
    store::{Operation, Trouble},
};
use std::sync::Arc;

const READ_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const STORE_SECONDS: &[f64] = &[0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];
const LIMITER_SECONDS: &[f64] = &[0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Where answers come from, as the label `source` names it: the contract's `Source` from 1 on.
const SOURCES: [&str; 3] = ["upstream", "cache", "shared_cache"];

/// The states of a session, as the label `status` names them: the contract's `LivenessStatus` by
/// its numbers.
const STATUSES: [&str; 6] = ["unrecognized", "created", "in_progress", "succeeded", "failed", "expired"];

/// The caches, as the label `cache` names them.
pub const CACHES: [&str; 4] = ["results", "images", "unfinished", "refusals"];

/// How a question to the store ends, as the label `outcome` names it: `skipped` when it is known
/// not to be well.
const OUTCOMES: [&str; 6] = {
    let [timeout, lost, read_only, refused] = Trouble::LABELS;
    ["ok", "skipped", timeout, lost, read_only, refused]
};

/// What waits for the rate limiter, as the label `need` names it.
pub const NEEDS: [&str; 3] = ["first_read", "re_read", "capture"];

/// Every metric of the process.
pub struct Metrics {
    registry: Registry,
    calls: AllCalls,
    /// Answers by [`SOURCES`] and [`STATUSES`].
    results: [[IntCounter; STATUSES.len()]; SOURCES.len()],
    /// Refused requests by the reason in their ErrorInfo.
    pub errors: IntCounterVec,
    pub requests_in_flight: IntGauge,
    /// Reads from AWS by how they ended: `OK`, or the reason that callers are told.
    pub reads: IntCounterVec,
    pub read_seconds: Histogram,
    pub limiter_wait_seconds: Histogram,
    /// Callers who joined a poll that was under way, and so cost no read.
    pub polls_shared: IntCounter,
    /// Later reads of a session that contradict its first final result.
    pub contradictions: IntCounter,
    /// Evictions for want of room, by cache.
    pub evictions: IntCounterVec,
    /// What the store was asked for, by how that ended.
    pub store_operations: IntCounterVec,
    pub store_seconds: Histogram,
    pub store_up: IntGauge,
    /// Looks for a session in the shared cache: `hit`, `miss`, `unreadable`.
    pub shared_cache_lookups: IntCounterVec,
    pub connections: IntGauge,
    pub connections_closed: IntCounterVec,
    pub ready: IntGauge,
    /// Log lines that were lost, as of the last scrape.
    pub log_lines_lost: IntCounter,
    /// Attempts to take over changed certificate files: `ok`, `failed`.
    pub tls_reloads: IntCounterVec,
    /// When the certificate expires, in seconds since 1970; 0 when there is none, or it does not
    /// say.
    pub tls_not_after: Gauge,
    // Read off at each scrape.
    pub cache_entries: IntGaugeVec,
    pub cache_bytes: IntGaugeVec,
    pub limiter_rate: Gauge,
    pub limiter_queue: IntGaugeVec,
    pub polls: IntGauge,
}

impl Metrics {
    /// `reasons` are those of the errors that callers are told, `closings` those of connections.
    pub fn new(reasons: &[&str], closings: &[&str]) -> Self {
        let registry = Registry::new();
        let new = New(&registry);
        let limiter_rate = new.gauges(
            "face_liveness_limiter_rate",
            "Reads a second that the rate limiter grants now, to all replicas while they share the quota; 0 without a limiter.",
            &[],
        );
        let not_after = new.gauges(
            "face_liveness_tls_certificate_expiry_timestamp_seconds",
            "When the server's certificate expires; 0 without one.",
            &[],
        );
        let build = new.gauges("face_liveness_build_info", "Always 1; the version is in the label.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        let results = new.counters(
            "face_liveness_results_total",
            "Answers, by where they came from and by the session's status.",
            &[("source", &SOURCES), ("status", &STATUSES)],
        );
        let outcomes: Vec<_> = reasons.iter().copied().filter(|reason| is_of_a_read(reason)).chain(["OK"]).collect();
        #[cfg(target_os = "linux")]
        sound(registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self())));
        Self {
            calls: AllCalls::new(&new),
            results: SOURCES.map(|source| STATUSES.map(|status| results.with_label_values(&[source, status]))),
            errors: new.counters(
                "face_liveness_errors_total",
                "Refused requests, by the reason that the caller was told.",
                &[("reason", reasons)],
            ),
            requests_in_flight: new
                .gauge("face_liveness_requests_in_flight", "Requests in flight, those that wait included."),
            reads: new.counters(
                "face_liveness_upstream_reads_total",
                "Reads from AWS, by OK or the reason of their failure.",
                &[("outcome", &outcomes)],
            ),
            read_seconds: new.histogram(
                "face_liveness_upstream_read_seconds",
                "How long reads from AWS took.",
                READ_SECONDS,
            ),
            limiter_wait_seconds: new.histogram(
                "face_liveness_limiter_wait_seconds",
                "How long reads waited for the rate limiter.",
                LIMITER_SECONDS,
            ),
            polls_shared: new
                .counter("face_liveness_polls_shared_total", "Callers who joined a poll that was under way."),
            contradictions: new.counter(
                "face_liveness_results_contradicted_total",
                "Later reads that contradicted the first final result of their session, and were discarded.",
            ),
            evictions: new.counters(
                "face_liveness_cache_evictions_total",
                "Entries that left before their time, for want of room.",
                &[("cache", &CACHES)],
            ),
            store_operations: new.counters(
                "face_liveness_shared_cache_operations_total",
                "What the shared cache's store was asked for, by how that ended.",
                &[("operation", &Operation::NAMES), ("outcome", &OUTCOMES)],
            ),
            store_seconds: new.histogram(
                "face_liveness_shared_cache_seconds",
                "How long the shared cache's store took to answer, or was waited for.",
                STORE_SECONDS,
            ),
            store_up: new.gauge(
                "face_liveness_shared_cache_up",
                "Whether the shared cache is in use for reads and writes: 1 or 0; 0 without one.",
            ),
            shared_cache_lookups: new.counters(
                "face_liveness_shared_cache_lookups_total",
                "Values of the shared cache that were looked for: found, not there, or there and not to be opened.",
                &[("outcome", &LOOKUPS)],
            ),
            connections: new.gauge("face_liveness_connections", "Open connections of the gRPC port."),
            connections_closed: new.counters(
                "face_liveness_connections_closed_total",
                "Connections that were closed before they could ask, by why.",
                &[("reason", closings)],
            ),
            ready: new.gauge("face_liveness_ready", "Whether this replica is ready: 1 or 0."),
            log_lines_lost: new.counter(
                "face_liveness_log_lines_lost_total",
                "Log lines that were lost because standard error was not read fast enough.",
            ),
            tls_reloads: new.counters(
                "face_liveness_tls_reloads_total",
                "Changed certificate files, by whether they were taken over.",
                &[("outcome", &["ok", "failed"])],
            ),
            tls_not_after: not_after.with_label_values::<&str>(&[]),
            cache_entries: new.int_gauges("face_liveness_cache_entries", "Entries held, by cache.", ("cache", &CACHES)),
            cache_bytes: new.int_gauges(
                "face_liveness_cache_bytes",
                "Bytes of image content held.",
                ("cache", &["images"]),
            ),
            limiter_rate: limiter_rate.with_label_values::<&str>(&[]),
            limiter_queue: new.int_gauges(
                "face_liveness_limiter_queue",
                "Reads that wait for the rate limiter, by what for.",
                ("need", &NEEDS),
            ),
            polls: new.gauge("face_liveness_polls", "Sessions that are being polled."),
            registry,
        }
    }

    /// The calls of the method at this path, such as `/grpc.health.v1.Health/Check`.
    pub fn calls(&self, path: &str) -> &Arc<Calls> {
        self.calls.of(path)
    }

    /// The counter of answers with the contract's `Source` and `LivenessStatus`.
    pub fn answered(&self, source: i32, status: i32) -> &IntCounter {
        let index =
            |number: i32, count: usize| usize::try_from(number).ok().filter(|index| *index < count).unwrap_or(0);
        &self.results[index(source - 1, SOURCES.len())][index(status, STATUSES.len())]
    }

    /// All of it in Prometheus's text format, 0.0.4.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.expect("names and labels are constants, and a vector takes all that is written");
        String::from_utf8(text).expect("the text format is UTF-8")
    }
}

/// What the text is, for HTTP.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Whether a read can end so; the other reasons are of requests that made none.
fn is_of_a_read(reason: &str) -> bool {
    reason.starts_with("UPSTREAM_") || ["SESSION_NOT_FOUND", "INTERNAL"].contains(&reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics::new(&["INVALID_REQUEST", "SESSION_NOT_FOUND", "UPSTREAM_THROTTLED"], &["handshake"])
    }

    #[test]
    fn every_series_is_there_before_anything_has_happened() {
        let text = metrics().text();
        for series in [
            r#"grpc_server_started_total{grpc_method="GetLivenessResult",grpc_service="faceliveness.v1.FaceLivenessService",grpc_type="unary"} 0"#,
            r#"grpc_server_handled_total{grpc_code="OK",grpc_method="Watch",grpc_service="grpc.health.v1.Health",grpc_type="server_stream"} 0"#,
            r#"grpc_server_handled_total{grpc_code="Unimplemented",grpc_method="unknown",grpc_service="unknown",grpc_type="unary"} 0"#,
            r#"face_liveness_results_total{source="cache",status="succeeded"} 0"#,
            r#"face_liveness_errors_total{reason="INVALID_REQUEST"} 0"#,
            r#"face_liveness_upstream_reads_total{outcome="OK"} 0"#,
            r#"face_liveness_upstream_reads_total{outcome="UPSTREAM_THROTTLED"} 0"#,
            r#"face_liveness_cache_entries{cache="results"} 0"#,
            "face_liveness_limiter_wait_seconds_count 0",
        ] {
            assert!(text.contains(series), "{series} in\n{text}");
        }
        assert!(!text.contains(r#"face_liveness_upstream_reads_total{outcome="INVALID_REQUEST"}"#), "no read ends so");
    }

    #[test]
    fn calls_and_codes_that_nobody_knows_share_a_series() {
        let metrics = metrics();
        for path in ["/a/b", "", "/grpc.health.v1.Health", "/grpc.health.v1.Health/Check/x"] {
            metrics.calls(path).started.inc();
        }
        metrics.calls("/grpc.health.v1.Health/Check").handled(99).inc();
        let text = metrics.text();
        assert!(text.contains(
            r#"grpc_server_started_total{grpc_method="unknown",grpc_service="unknown",grpc_type="unary"} 4"#
        ));
        assert!(text.contains(
            r#"grpc_code="Unknown",grpc_method="Check",grpc_service="grpc.health.v1.Health",grpc_type="unary"} 1"#
        ));
    }
}
