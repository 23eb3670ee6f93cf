//! The metrics of the gRPC port: calls, responses and errors.
//!
//! Calls have the names of go-grpc-middleware, which gRPC dashboards expect.

use crate::{
    error::Reason,
    proto::{GET_LIVENESS_RESULT, Verdict},
    telemetry::metrics::Registry,
};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts};
use std::sync::Arc;
use tonic_health::pb::health_server::SERVICE_NAME as HEALTH;
use tonic_reflection::pb::{
    v1::server_reflection_server::SERVICE_NAME as REFLECTION,
    v1alpha::server_reflection_server::SERVICE_NAME as REFLECTION_V1ALPHA,
};

/// The sources of results, as the label `source` names them: the contract's `Source` from 1 on.
const SOURCES: [&str; 3] = ["upstream", "cache", "shared_cache"];

/// The statuses of a session, as the label `status` names them: the contract's `LivenessStatus` by
/// number.
const STATUSES: [&str; 6] = ["unrecognized", "created", "in_progress", "succeeded", "failed", "expired"];

/// The contract's verdicts by number.
const VERDICTS: [Verdict; 6] =
    [Verdict::Unspecified, Verdict::Live, Verdict::NotLive, Verdict::Pending, Verdict::Inconclusive, Verdict::TooOld];

/// gRPC's codes by number, as go-grpc-middleware spells them in `grpc_code`.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// `Unknown` among [`CODES`].
const UNKNOWN: usize = 2;

/// The methods that this program serves. Calls of any other count as one more, `unknown`.
const METHODS: [(&str, &str, &str); 6] = [
    ("unary", GET_LIVENESS_RESULT.service, GET_LIVENESS_RESULT.name),
    ("unary", HEALTH, "Check"),
    ("server_stream", HEALTH, "Watch"),
    ("unary", HEALTH, "List"),
    ("bidi_stream", REFLECTION, "ServerReflectionInfo"),
    ("bidi_stream", REFLECTION_V1ALPHA, "ServerReflectionInfo"),
];

/// A cache hit takes less than a millisecond, a read from AWS some tens, a wait up to a minute.
const CALL_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How callers' requests ended.
pub struct ResponseMetrics {
    /// Responses by [`SOURCES`] and [`STATUSES`].
    results: [[IntCounter; STATUSES.len()]; SOURCES.len()],
    /// Responses by [`VERDICTS`].
    verdicts: [IntCounter; VERDICTS.len()],
    /// Rejected and failed requests, by the reason in their ErrorInfo.
    pub errors: IntCounterVec,
}

impl ResponseMetrics {
    pub fn new(registry: &Registry) -> Self {
        let results = Opts::new(
            "face_liveness_results_total",
            "Responses with a result, by its source and the status of the session.",
        );
        let results = registry.register(IntCounterVec::new(results, &["source", "status"]));
        let verdicts = Opts::new("face_liveness_verdicts_total", "Responses with a result, by verdict.");
        let verdicts = registry.register(IntCounterVec::new(verdicts, &["verdict"]));
        Self {
            results: SOURCES.map(|source| STATUSES.map(|status| results.with_label_values(&[source, status]))),
            verdicts: VERDICTS.map(|verdict| verdicts.with_label_values(&[verdict.label()])),
            errors: registry.counters(
                "face_liveness_errors_total",
                "Rejected and failed requests, by the reason in their ErrorInfo.",
                ("reason", &Reason::ALL.map(Reason::name)),
            ),
        }
    }

    /// Returns the counter of responses with the contract's `Source` and `LivenessStatus`.
    pub fn results(&self, source: i32, status: i32) -> &IntCounter {
        let index =
            |number: i32, count: usize| usize::try_from(number).ok().filter(|index| *index < count).unwrap_or(0);
        &self.results[index(source - 1, SOURCES.len())][index(status, STATUSES.len())]
    }

    /// Returns the counter of responses with this verdict.
    pub const fn verdicts(&self, verdict: Verdict) -> &IntCounter {
        &self.verdicts[verdict as usize]
    }
}

/// The calls of one method.
pub struct MethodMetrics {
    pub is_stream: bool,
    pub started: IntCounter,
    handled: [IntCounter; CODES.len()],
    pub seconds: Histogram,
}

impl MethodMetrics {
    /// Returns the counter of calls that ended with this gRPC code.
    pub fn handled(&self, code: i32) -> &IntCounter {
        let index = usize::try_from(code).ok().filter(|index| *index < CODES.len()).unwrap_or(UNKNOWN);
        &self.handled[index]
    }
}

/// The calls of all methods.
pub struct CallMetrics([Arc<MethodMetrics>; METHODS.len() + 1]);

impl CallMetrics {
    pub fn new(registry: &Registry) -> Self {
        let labels = ["grpc_type", "grpc_service", "grpc_method"];
        let started = Opts::new("grpc_server_started_total", "Calls that were started.");
        let handled = Opts::new("grpc_server_handled_total", "Calls that ended, by gRPC code.");
        let seconds = HistogramOpts::new("grpc_server_handling_seconds", "Duration of calls, in seconds.");
        let started = registry.register(IntCounterVec::new(started, &labels));
        let handled = registry.register(IntCounterVec::new(handled, &[&labels[..], &["grpc_code"]].concat()));
        let seconds = registry.register(HistogramVec::new(seconds.buckets(CALL_SECONDS.into()), &labels));
        Self(std::array::from_fn(|index| {
            let (kind, service, method) = METHODS.get(index).copied().unwrap_or(("unary", "unknown", "unknown"));
            Arc::new(MethodMetrics {
                is_stream: kind != "unary",
                started: started.with_label_values(&[kind, service, method]),
                handled: CODES.map(|code| handled.with_label_values(&[kind, service, method, code])),
                seconds: seconds.with_label_values(&[kind, service, method]),
            })
        }))
    }

    /// Returns the metrics of the method at this path, such as `/grpc.health.v1.Health/Check`.
    pub fn method(&self, path: &str) -> &Arc<MethodMetrics> {
        let is_at = |(_, service, method): &(&str, &str, &str)| {
            let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(service));
            rest.and_then(|rest| rest.strip_prefix('/')) == Some(method)
        };
        &self.0[METHODS.iter().position(is_at).unwrap_or(METHODS.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_exists_before_the_first_call() {
        let registry = Registry::default();
        CallMetrics::new(&registry);
        ResponseMetrics::new(&registry);
        let text = registry.text();
        for series in [
            r#"grpc_server_started_total{grpc_method="GetLivenessResult",grpc_service="faceliveness.v1.FaceLivenessService",grpc_type="unary"} 0"#,
            r#"grpc_server_handled_total{grpc_code="OK",grpc_method="Watch",grpc_service="grpc.health.v1.Health",grpc_type="server_stream"} 0"#,
            r#"grpc_server_handled_total{grpc_code="Unimplemented",grpc_method="unknown",grpc_service="unknown",grpc_type="unary"} 0"#,
            r#"face_liveness_results_total{source="cache",status="succeeded"} 0"#,
            r#"face_liveness_verdicts_total{verdict="too_old"} 0"#,
            r#"face_liveness_errors_total{reason="INVALID_REQUEST"} 0"#,
        ] {
            assert!(text.contains(series), "{series} in\n{text}");
        }
    }

    #[test]
    fn each_verdict_of_the_contract_has_its_own_counter() {
        let registry = Registry::default();
        let responses = ResponseMetrics::new(&registry);
        for verdict in (0..).map_while(|number| Verdict::try_from(number).ok()) {
            responses.verdicts(verdict).inc();
            let series = format!("face_liveness_verdicts_total{{verdict=\"{}\"}} 1", verdict.label());
            assert!(registry.text().contains(&series), "{series}");
            assert_eq!(format!("VERDICT_{}", verdict.label().to_uppercase()), verdict.as_str_name());
        }
    }

    #[test]
    fn unknown_methods_share_a_series_and_so_do_unknown_codes() {
        let registry = Registry::default();
        let calls = CallMetrics::new(&registry);
        for path in ["/a/b", "", "/grpc.health.v1.Health", "/grpc.health.v1.Health/Check/x"] {
            calls.method(path).started.inc();
        }
        calls.method("/grpc.health.v1.Health/Check").handled(99).inc();
        let text = registry.text();
        assert!(text.contains(
            r#"grpc_server_started_total{grpc_method="unknown",grpc_service="unknown",grpc_type="unary"} 4"#
        ));
        assert!(text.contains(
            r#"grpc_code="Unknown",grpc_method="Check",grpc_service="grpc.health.v1.Health",grpc_type="unary"} 1"#
        ));
    }
}
