//! The two spans and all their attributes.
//!
//! Names follow OpenTelemetry (<https://opentelemetry.io/docs/specs/semconv/rpc/>). Attributes
//! never contain a face, a score, an S3 key, a session id or AWS's error message: traces leave the
//! process, and other systems store them.

use crate::{error::Error, proto::GET_LIVENESS_RESULT, session::SessionRef};
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, TraceContextExt},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::codegen::http::{HeaderMap, HeaderName};
use tracing::{
    Span,
    field::{Empty, display},
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of these spans. The exporter selects it, and the log excludes it.
pub const TARGET: &str = "trace";

/// The full name of the method in gRPC.
const METHOD: &str = GET_LIVENESS_RESULT.full_name;

/// The name of the AWS call in OpenTelemetry's conventions.
const AWS_METHOD: &str = "Rekognition/GetFaceLivenessSessionResults";

/// Returns the span of a call, a child of the caller's span if the headers have one (W3C's
/// `traceparent`). It ends when it is dropped. If it has no code then, the caller has hung up.
pub fn call(headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        parent: None,
        METHOD,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = METHOD,
        rpc.response.status_code = Empty,
        "error.type" = Empty,
        face_liveness.session_ref = Empty,
        face_liveness.status = Empty,
        face_liveness.source = Empty,
    );
    with_parent(span, || TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers)))
}

/// Records the session of a call.
pub fn record_session(call: &Span, session: SessionRef) {
    call.record("face_liveness.session_ref", display(session));
}

/// Records the end of a successful call.
pub fn record_response(call: &Span, status: &str, source: &str) {
    call.record("rpc.response.status_code", "OK");
    call.record("face_liveness.status", status);
    call.record("face_liveness.source", source);
}

/// Records that the caller cancelled a call during its response, or lost its connection.
pub fn record_cancelled(call: &Span) {
    call.record("rpc.response.status_code", "CANCELLED");
}

/// Records the end of a failed call. The span has the status ERROR only if this service or AWS
/// failed.
pub fn record_error(call: &Span, error: &Error) {
    call.record("rpc.response.status_code", error.code_name());
    call.record("error.type", display(error.reason));
    if error.is_server_fault() {
        call.record("otel.status_code", "ERROR");
    }
}

/// The call that the reads of a poll belong to. This reference does not keep the call's span open:
/// a poll may outlive its caller by minutes.
pub struct Caller(SpanContext);

impl Caller {
    /// Returns the call of the current span.
    pub fn current() -> Self {
        Self(Span::current().context().span().span_context().clone())
    }
}

/// Returns the span of a read from AWS. It ends when it is dropped.
pub fn read(caller: &Caller) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        parent: None,
        AWS_METHOD,
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system.name = "aws-api",
        rpc.method = AWS_METHOD,
        aws.request_id = Empty,
        "error.type" = Empty,
    );
    with_parent(span, || Context::new().with_remote_span_context(caller.0.clone()))
}

/// Records the end of a read. AWS support needs the `request_id`.
pub fn record_read<T>(read: &Span, request_id: Option<&str>, end: &Result<T, Error>) {
    read.record("aws.request_id", request_id);
    if let Err(error) = end {
        read.record("error.type", display(error.reason));
        read.record("otel.status_code", "ERROR");
    }
}

/// Sets the parent of a span. It is not computed if the span is disabled.
fn with_parent(span: Span, parent: impl FnOnce() -> Context) -> Span {
    if !span.is_disabled() {
        // It fails without the OpenTelemetry layer, which alone needs parents.
        span.set_parent(parent()).ok();
    }
    span
}

/// The headers of a call, without a malformed `traceparent`.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?.to_str().ok()?;
        // The propagator accepts ids that are too short. It checks the rest.
        let dashes = [2, 35, 52].iter().all(|&at| value.as_bytes().get(at) == Some(&b'-'));
        (dashes || key != "traceparent").then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
