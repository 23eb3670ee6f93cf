//! Traces that the program exports to a collector.

pub mod collector;

use crate::{
    facade::{eventually, id, request},
    program::simulator,
};
use collector::{Collector, listen, names, serve, text};
use face_liveness_facade::{
    proto,
    simulator::{Fault, FaultKind, Pace, Session, Status},
};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;
use tonic::Request;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Returns a request with this `traceparent`.
fn traced(number: u32, traceparent: &str) -> Request<proto::GetLivenessResultRequest> {
    let mut request = Request::new(request(&id(number)));
    request.metadata_mut().insert("traceparent", traceparent.parse().expect("ASCII"));
    request
}

fn succeeded(number: u32) -> Session {
    Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(number)) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_call_continues_its_callers_trace_and_the_read_from_aws_is_its_child() {
    let ((simulator, aws), (collector, endpoint)) = (simulator().await, Collector::start().await);
    simulator.place(succeeded(1));
    let running = serve(&aws, &endpoint, &[], &[("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")]);
    let mut client = running.client().await;
    let mut traced = traced(1, &format!("00-{TRACE}-{PARENT}-01"));
    traced.metadata_mut().insert("tracestate", "vendor=1".parse().expect("ASCII"));
    client.get_liveness_result(traced).await.expect("a response");
    client.get_liveness_result(request(&id(1))).await.expect("a response");
    let arrived = async || collector.spans(SpanKind::Server).len() == 2 && collector.spans(SpanKind::Client).len() == 1;
    eventually("three spans arrive", arrived).await;

    let (calls, read) = (collector.spans(SpanKind::Server), collector.spans(SpanKind::Client).remove(0));
    let call = &calls[0];
    assert_eq!((hex(&call.trace_id), hex(&call.parent_span_id)), (TRACE.into(), PARENT.into()));
    assert_eq!(call.trace_state, "vendor=1");
    let method = "faceliveness.v1.FaceLivenessService/GetLivenessResult";
    assert_eq!(call.name, method);
    for (name, value) in [
        ("rpc.system.name", "grpc"),
        ("rpc.method", method),
        ("rpc.response.status_code", "OK"),
        ("face_liveness.status", "LIVENESS_STATUS_SUCCEEDED"),
        ("face_liveness.source", "SOURCE_UPSTREAM"),
    ] {
        assert_eq!(text(&call.attributes, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(text(&call.attributes, "face_liveness.session_ref").map(|reference| reference.len()), Some(12));
    assert_eq!(call.attributes.len(), 6, "{:?}", names(call));

    assert_eq!((&read.trace_id, &read.parent_span_id), (&call.trace_id, &call.span_id));
    assert_eq!(read.name, "Rekognition/GetFaceLivenessSessionResults");
    assert_eq!(names(&read), ["aws.request_id", "rpc.method", "rpc.system.name"]);
    assert_eq!(text(&read.attributes, "rpc.system.name").as_deref(), Some("aws-api"));
    assert_eq!(text(&read.attributes, "aws.request_id").map(|id| id.len()), Some(36));

    // A call without a trace starts a new one.
    assert_ne!(hex(&calls[1].trace_id), TRACE);
    assert!(calls[1].parent_span_id.is_empty());
    assert_eq!(text(&calls[1].attributes, "face_liveness.source").as_deref(), Some("SOURCE_CACHE"));
    for span in calls.iter().chain([&read]) {
        assert!(span.events.is_empty() && span.links.is_empty() && span.status.clone().unwrap_or_default().code == 0);
    }
    assert_eq!(collector.resource("service.name"), "face-liveness-facade");
    assert_eq!(collector.resource("service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(collector.resource("deployment.environment.name"), "test");
}

#[tokio::test]
async fn spans_record_code_and_reason_and_only_server_faults_are_errors() {
    let ((simulator, aws), (collector, endpoint)) = (simulator().await, Collector::start().await);
    let running = serve(&aws, &endpoint, &[], &[("OTEL_SERVICE_NAME", "of the environment")]);
    let mut client = running.client().await;
    client.get_liveness_result(request(&id(1))).await.expect_err("not found");
    simulator.script(Fault::new(FaultKind::Raw { status: 200, content_type: None, body: String::new() }));
    client.get_liveness_result(request(&id(2))).await.expect_err("no result");
    client.get_liveness_result(request("")).await.expect_err("no id");
    eventually("all spans arrive", async || collector.spans(SpanKind::Server).len() == 3).await;
    eventually("all reads arrive", async || collector.spans(SpanKind::Client).len() == 2).await;

    let rows = |kind| {
        let spans = collector.spans(kind).into_iter();
        let row = spans.map(|span| {
            let text = |name| text(&span.attributes, name).unwrap_or_default();
            (text("rpc.response.status_code"), text("error.type"), span.status.clone().unwrap_or_default().code())
        });
        row.collect::<Vec<_>>()
    };
    let row = |code: &str, reason: &str, status| (code.to_owned(), reason.to_owned(), status);
    assert_eq!(
        rows(SpanKind::Server),
        [
            row("NOT_FOUND", "SESSION_NOT_FOUND", StatusCode::Unset),
            row("INTERNAL", "UPSTREAM_MALFORMED", StatusCode::Error),
            row("INVALID_ARGUMENT", "INVALID_REQUEST", StatusCode::Unset),
        ]
    );
    assert_eq!(
        rows(SpanKind::Client),
        [row("", "SESSION_NOT_FOUND", StatusCode::Error), row("", "UPSTREAM_MALFORMED", StatusCode::Error)]
    );
    assert!(text(&collector.spans(SpanKind::Client)[0].attributes, "aws.request_id").is_some());
    assert_eq!(collector.resource("service.name"), "of the environment");
}

#[tokio::test]
async fn log_and_trace_share_the_session_reference_and_no_other_trace_data() {
    let ((simulator, aws), (collector, endpoint)) = (simulator().await, Collector::start().await);
    simulator.place(succeeded(1));
    let running = serve(&aws, &endpoint, &["--log-level", "trace", "--access-log", "all"], &[]);
    running.client().await.get_liveness_result(request(&id(1))).await.expect("a response");
    eventually("the call arrives", async || !collector.spans(SpanKind::Server).is_empty()).await;
    eventually("it is logged", async || running.log().contains("asked")).await;
    let session = text(&collector.spans(SpanKind::Server)[0].attributes, "face_liveness.session_ref");
    let log = running.log();
    assert!(log.contains(&session.expect("a reference")), "{log}");
    for name in ["face_liveness.", "rpc.", "otel.", "GetFaceLivenessSessionResults"] {
        assert!(!log.contains(name), "{name} in the log");
    }
}

#[tokio::test]
async fn malformed_trace_parents_are_ignored_and_unsampled_calls_not_exported() {
    let ((simulator, aws), (collector, endpoint)) = (simulator().await, Collector::start().await);
    simulator.place(succeeded(1));
    let running = serve(&aws, &endpoint, &[], &[]);
    let mut client = running.client().await;
    client.get_liveness_result(traced(1, &format!("00-{TRACE}-{PARENT}-00"))).await.expect("a response");
    let malformed = ["", "00", "00-1-1-01", &format!("00-{TRACE}-{:016}-01", 0), &format!("zz-{TRACE}-{PARENT}-01")];
    for traceparent in malformed {
        client.get_liveness_result(traced(1, traceparent)).await.expect("a response");
    }
    eventually("the others arrive", async || collector.spans(SpanKind::Server).len() == malformed.len()).await;
    for span in collector.spans(SpanKind::Server) {
        assert!(hex(&span.trace_id) != TRACE && span.parent_span_id.is_empty());
    }
    assert!(collector.spans(SpanKind::Client).is_empty(), "the read belongs to the call that is not sampled");
}

#[tokio::test]
async fn the_span_of_a_canceled_call_ends_before_the_poll_it_started() {
    let ((simulator, aws), (collector, endpoint)) = (simulator().await, Collector::start().await);
    simulator.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(1)) });
    let running = serve(&aws, &endpoint, &[], &[]);
    let mut client = running.client().await;
    let wait = Some(prost_types::Duration { seconds: 30, nanos: 0 });
    let waiting = tokio::spawn(async move {
        client.get_liveness_result(proto::GetLivenessResultRequest { wait, ..request(&id(1)) }).await
    });
    eventually("it is read", async || !collector.spans(SpanKind::Client).is_empty()).await;
    assert!(collector.spans(SpanKind::Server).is_empty());
    waiting.abort();
    eventually("the call ends", async || !collector.spans(SpanKind::Server).is_empty()).await;
    let call = collector.spans(SpanKind::Server).remove(0);
    assert_eq!(names(&call), ["face_liveness.session_ref", "rpc.method", "rpc.system.name"]);
    assert!(collector.spans(SpanKind::Client).iter().all(|read| read.parent_span_id == call.span_id));
}

#[tokio::test]
async fn the_last_spans_are_exported_at_shutdown() {
    let ((simulator, aws), (collector, endpoint)) = (simulator().await, Collector::start().await);
    simulator.place(succeeded(1));
    let mut running = serve(&aws, &endpoint, &[], &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]);
    running.client().await.get_liveness_result(request(&id(1))).await.expect("a response");
    let status = tokio::task::spawn_blocking(move || running.terminate()).await.expect("the program exits");
    assert!(status.success());
    assert_eq!(collector.spans(SpanKind::Server).len(), 1);
    assert_eq!(collector.spans(SpanKind::Client).len(), 1);
}

#[tokio::test]
async fn a_tls_collector_is_verified_with_the_system_roots() {
    let ((simulator, aws), (collector, endpoint, root)) = (simulator().await, Collector::start_with_tls().await);
    simulator.place(succeeded(1));
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/collector.pem");
    std::fs::write(file, root).expect("cargo created the folder");
    let running = serve(&aws, &endpoint, &[], &[("SSL_CERT_FILE", file)]);
    running.client().await.get_liveness_result(request(&id(1))).await.expect("a response");
    eventually("the span arrives", async || !collector.spans(SpanKind::Server).is_empty()).await;
}

#[tokio::test]
async fn a_failing_collector_delays_no_request_and_shutdown_by_at_most_two_seconds() {
    let (simulator, aws) = simulator().await;
    simulator.place(succeeded(1));
    let (hanging, hangs) = listen().await;
    // Bound and not listening, so that no other test gets this port for its collector.
    let closed = TcpSocket::new_v4().expect("a socket");
    closed.bind("127.0.0.1:0".parse().expect("an address")).expect("loopback has a free port");
    let unreachable = format!("http://{}", closed.local_addr().expect("a bound socket has an address"));
    // A queue of ten spans, so that it overflows.
    let settings = [("OTEL_BSP_MAX_QUEUE_SIZE", "10"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")];
    for (endpoint, warning) in [(&unreachable, Some("spans do not reach the collector")), (&hangs, None)] {
        let mut running = serve(&aws, endpoint, &[], &settings);
        let mut client = running.client().await;
        let started = Instant::now();
        for _ in 0..100 {
            client.get_liveness_result(request(&id(1))).await.expect("a response");
        }
        // Any of these would have waited for 60 s; a busy machine needs a while for a hundred
        // calls, too.
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        if let Some(warning) = warning {
            eventually("the warning is logged", async || running.log().contains(warning)).await;
        }
        let stopped = Instant::now();
        let (running, status) = tokio::task::spawn_blocking(move || {
            let status = running.terminate();
            (running, status)
        })
        .await
        .expect("the program exits");
        assert!(status.success());
        assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}", stopped.elapsed());
        eventually("the log is complete", async || running.log().contains(r#""stopped""#)).await;
        assert!(running.log().matches("WARN").count() <= 2, "too many warnings: {}", running.log());
    }
    drop((hanging, closed));
}

#[tokio::test]
async fn an_unsupported_otlp_protocol_is_logged_and_the_service_starts() {
    let (simulator, aws) = simulator().await;
    simulator.place(succeeded(1));
    let running = serve(&aws, "http://127.0.0.1:4318", &[], &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]);
    assert_eq!(running.warnings.len(), 1, "{:?}", running.warnings);
    assert!(running.warnings[0].contains("OTEL_EXPORTER_OTLP_"), "{:?}", running.warnings);
    running.client().await.get_liveness_result(request(&id(1))).await.expect("a response");
}
