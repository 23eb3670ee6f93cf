//! What a trace tells: the two spans, and every attribute there is.
//!
//! Names are OpenTelemetry's for RPCs (<https://opentelemetry.io/docs/specs/semconv/rpc/>). A face,
//! a score, an S3 key, a session id or AWS's own words on an error are never among them: traces
//! leave the process, and are kept by others.

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

/// The target of these spans and of nothing else, by which the exporter takes them and the log
/// leaves them out.
pub const TARGET: &str = "trace";

/// gRPC's full name of the method.
const METHOD: &str = GET_LIVENESS_RESULT.full_name;

/// How OpenTelemetry's conventions name a call of AWS.
const AWS_METHOD: &str = "Rekognition/GetFaceLivenessSessionResults";

/// A call, as a child of the caller's span when its headers name one (W3C's `traceparent`). It ends
/// when it is dropped: one without a code is of a caller who did not wait for the answer.
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
    under(span, || TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers)))
}

/// Which session a call is about.
pub fn asks_for(call: &Span, session: SessionRef) {
    call.record("face_liveness.session_ref", display(session));
}

/// That a call was answered, and with what.
pub fn answered(call: &Span, status: &str, source: &str) {
    call.record("rpc.response.status_code", "OK");
    call.record("face_liveness.status", status);
    call.record("face_liveness.source", source);
}

/// That a call was not answered, and why. It is marked as failed only when this service or AWS
/// failed.
pub fn refused(call: &Span, error: &Error) {
    call.record("rpc.response.status_code", error.code_name());
    call.record("error.type", display(error.reason));
    if error.is_server_fault() {
        call.record("otel.status_code", "ERROR");
    }
}

/// Whose call the reads of a poll belong to. It is the name of a span and does not keep it from
/// ending, for a poll may outlive its caller by minutes.
pub struct Caller(SpanContext);

impl Caller {
    /// The one whose call runs now.
    pub fn current() -> Self {
        Self(Span::current().context().span().span_context().clone())
    }
}

/// A read from AWS. It ends when it is dropped.
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
    under(span, || Context::new().with_remote_span_context(caller.0.clone()))
}

/// How a read ended. `request_id` is AWS's, which its support asks for.
pub fn read_ended<T>(read: &Span, request_id: Option<&str>, end: &Result<T, Error>) {
    read.record("aws.request_id", request_id);
    if let Err(error) = end {
        read.record("error.type", display(error.reason));
        read.record("otel.status_code", "ERROR");
    }
}

/// The span with a parent, which is not looked for when nobody takes the span.
fn under(span: Span, parent: impl FnOnce() -> Context) -> Span {
    if !span.is_disabled() {
        // It fails under a subscriber of somebody else, who has no use for parents.
        span.set_parent(parent()).ok();
    }
    span
}

/// The headers of a call, where a `traceparent` that is malformed is none.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?.to_str().ok()?;
        // The propagator checks the rest, but takes ids that are too short.
        let dashes = [2, 35, 52].iter().all(|&at| value.as_bytes().get(at) == Some(&b'-'));
        (dashes || key != "traceparent").then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
