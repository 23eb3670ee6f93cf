//! The calls of the gRPC port, under the names that go-grpc-middleware gave them and every gRPC
//! dashboard knows.

use super::new::{New, sound};
use crate::proto::GET_LIVENESS_RESULT;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts};
use std::sync::Arc;
use tonic_health::pb::health_server::SERVICE_NAME as HEALTH;
use tonic_reflection::pb::{
    v1::server_reflection_server::SERVICE_NAME as REFLECTION,
    v1alpha::server_reflection_server::SERVICE_NAME as REFLECTION_V1ALPHA,
};

/// gRPC's codes by their numbers, as go-grpc-middleware spells them in `grpc_code`.
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

/// The calls that this program serves, with GetLivenessResult first; all others are one more,
/// `unknown`.
const METHODS: [(&str, &str, &str); 6] = [
    ("unary", GET_LIVENESS_RESULT.service, GET_LIVENESS_RESULT.name),
    ("unary", HEALTH, "Check"),
    ("server_stream", HEALTH, "Watch"),
    ("unary", HEALTH, "List"),
    ("bidi_stream", REFLECTION, "ServerReflectionInfo"),
    ("bidi_stream", REFLECTION_V1ALPHA, "ServerReflectionInfo"),
];

/// A cached answer takes well under a millisecond, a read from AWS some tens, a wait up to a
/// minute.
const CALL_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The calls of one method.
pub struct Calls {
    pub is_stream: bool,
    pub started: IntCounter,
    handled: [IntCounter; CODES.len()],
    pub seconds: Histogram,
}

impl Calls {
    /// The counter of calls that ended with this gRPC code.
    pub fn handled(&self, code: i32) -> &IntCounter {
        let index = usize::try_from(code).ok().filter(|index| *index < CODES.len()).unwrap_or(UNKNOWN);
        &self.handled[index]
    }
}

/// The calls of all methods.
pub struct AllCalls([Arc<Calls>; METHODS.len() + 1]);

impl AllCalls {
    pub fn new(new: &New<'_>) -> Self {
        let labels = ["grpc_type", "grpc_service", "grpc_method"];
        let opts = |name: &str, help: &str| Opts::new(name, help);
        let started = IntCounterVec::new(opts("grpc_server_started_total", "Calls that began."), &labels);
        let handled = IntCounterVec::new(
            opts("grpc_server_handled_total", "Calls that ended, by their code."),
            &[&labels[..], &["grpc_code"]].concat(),
        );
        let seconds = HistogramVec::new(
            HistogramOpts::new("grpc_server_handling_seconds", "How long calls took until their answer.")
                .buckets(CALL_SECONDS.into()),
            &labels,
        );
        let (started, handled, seconds) =
            (new.register(sound(started)), new.register(sound(handled)), new.register(sound(seconds)));
        Self(std::array::from_fn(|index| {
            let (kind, service, method) = METHODS.get(index).copied().unwrap_or(("unary", "unknown", "unknown"));
            Arc::new(Calls {
                is_stream: kind != "unary",
                started: started.with_label_values(&[kind, service, method]),
                handled: CODES.map(|code| handled.with_label_values(&[kind, service, method, code])),
                seconds: seconds.with_label_values(&[kind, service, method]),
            })
        }))
    }

    /// The calls of the method at this path, such as `/grpc.health.v1.Health/Check`.
    pub fn of(&self, path: &str) -> &Arc<Calls> {
        let is_at = |(_, service, method): &(&str, &str, &str)| {
            let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(service));
            rest.and_then(|rest| rest.strip_prefix('/')) == Some(method)
        };
        &self.0[METHODS.iter().position(is_at).unwrap_or(METHODS.len())]
    }
}
