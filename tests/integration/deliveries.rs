//! Responses with images whose caller receives only a part: what metrics, access log and trace say.

use crate::{
    admin::{get, value},
    facade::{eventually, id, request, within},
    program::{Running, simulator},
    specification::CALL,
    traces::collector::{Collector, serve, text},
};
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, ResultView},
    simulator::{Pace, Session, Simulator, Status},
};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use serde_json::Value;
use std::time::Duration;
use tokio::{net::TcpStream, task::JoinHandle};
use tonic::codegen::{Bytes, http::Request};

/// A client that does not read its response loses its connection after a minute.
const CUT_OFF: Duration = Duration::from_secs(60);

struct Program {
    running: Running,
    collector: Collector,
    _simulator: Simulator,
}

/// A call whose response has begun.
struct Begun {
    body: h2::RecvStream,
    /// The size of the part that has been read.
    read: usize,
    _client: h2::client::SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Program {
    async fn start() -> Self {
        let ((simulator, aws), (collector, endpoint)) = (simulator().await, Collector::start().await);
        simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), audit_images: 4, ..Session::new(id(1)) });
        Self { running: serve(&aws, &endpoint, &["--access-log", "images"], &[]), collector, _simulator: simulator }
    }

    /// Requests some 215 KB of images over a new connection. Its window is for each stream.
    async fn request_images(&self, window: u32) -> Begun {
        let stream = TcpStream::connect(&self.running.address).await.expect("it listens");
        let mut builder = h2::client::Builder::new();
        let connected = builder.initial_window_size(window).handshake::<_, Bytes>(stream).await;
        let (mut client, connection) = connected.expect("it speaks HTTP/2");
        let connection = tokio::spawn(connection);
        let call = Request::post(format!("http://localhost{CALL}")).header("content-type", "application/grpc");
        let call = call.body(()).expect("a valid request");
        let (response, mut stream) = client.send_request(call, false).expect("the connection is open");
        let full = GetLivenessResultRequest { view: ResultView::Full.into(), ..request(&id(1)) }.encode_to_vec();
        let prefix = [0, 0, 0, 0, u8::try_from(full.len()).expect("a small message")];
        stream.send_data([&prefix, &full[..]].concat().into(), true).expect("the stream is open");
        let mut body = response.await.expect("the headers of the response").into_body();
        let read = match window {
            0 => 0,
            _ => body.data().await.expect("a part of the message").expect("the connection is open").len(),
        };
        Begun { body, read, _client: client, connection }
    }

    /// Waits until the program has recorded a call that ended with this code and reason, in all
    /// places. Asserts that it recorded no other.
    async fn assert_recorded(&self, time: Duration, code: &str, grpc_code: &str, reason: Option<&str>) {
        let metrics = async || get(&self.running.admin_address, "/metrics").await.1;
        let handled = |code: &str| {
            format!(
                r#"grpc_server_handled_total{{grpc_code="{code}",grpc_method="GetLivenessResult",grpc_service="faceliveness.v1.FaceLivenessService",grpc_type="unary"}}"#
            )
        };
        within(time, "the call is counted", async || value(&metrics().await, &handled(grpc_code)) == 1.0).await;
        let all = metrics().await;
        let is_ok = f64::from(code == "OK");
        assert_eq!(value(&all, &handled("OK")), is_ok);
        let results = r#"face_liveness_results_total{source="upstream",status="succeeded"}"#;
        assert_eq!(value(&all, results), is_ok);
        for counted in ["RESPONSE_NOT_READ", "OVERLOADED", "INTERNAL"] {
            let errors = value(&all, &format!(r#"face_liveness_errors_total{{reason="{counted}"}}"#));
            assert_eq!(errors, f64::from(reason == Some(counted)), "{counted}");
        }

        let lines = || -> Vec<Value> {
            let log = self.running.log();
            let lines = log.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
            lines.filter(|line: &Value| line["target"] == "access").collect()
        };
        eventually("the call is logged", async || lines().len() == 1).await;
        let line = lines().remove(0);
        assert_eq!((line["code"].as_str(), line["reason"].as_str()), (Some(code), reason), "{line}");
        assert_eq!((line["images"].as_bool(), line["view"].as_str()), (Some(true), Some("FULL")), "{line}");

        eventually("the span arrives", async || self.collector.spans(SpanKind::Server).len() == 1).await;
        let span = self.collector.spans(SpanKind::Server).remove(0);
        assert_eq!(text(&span.attributes, "rpc.response.status_code").as_deref(), Some(code));
        assert_eq!(text(&span.attributes, "error.type").as_deref(), reason);
        assert_eq!(span.status.unwrap_or_default().code, 0, "the server did not fail");
    }
}

#[tokio::test]
async fn a_response_that_is_read_is_recorded_as_ok() {
    for window in [1_000, 1 << 20] {
        let program = Program::start().await;
        let mut begun = program.request_images(window).await;
        let mut flow = begun.body.flow_control().clone();
        flow.release_capacity(begun.read).expect("it was received");
        while let Some(data) = begun.body.data().await {
            flow.release_capacity(data.expect("the whole message").len()).expect("it was received");
        }
        let trailers = begun.body.trailers().await.expect("the end").expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
        program.assert_recorded(Duration::from_secs(10), "OK", "OK", None).await;
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_during_its_response_is_recorded_as_cancelled() {
    for window in [0, 1, 20_000] {
        let program = Program::start().await;
        let begun = program.request_images(window).await;
        drop(begun.body);
        program.assert_recorded(Duration::from_secs(10), "CANCELLED", "Canceled", None).await;
        assert!(!begun.connection.is_finished(), "the connection is open");
    }
}

#[tokio::test]
async fn a_call_whose_connection_breaks_during_its_response_is_recorded_as_cancelled() {
    for window in [0, 1, 20_000] {
        let program = Program::start().await;
        program.request_images(window).await.connection.abort();
        program.assert_recorded(Duration::from_secs(10), "CANCELLED", "Canceled", None).await;
    }
}

/// The one test that takes longer than a minute.
#[tokio::test]
async fn a_response_that_is_not_read_is_recorded_as_such_and_not_as_an_overload() {
    let program = Program::start().await;
    let begun = program.request_images(1_000).await;
    let time = CUT_OFF + Duration::from_secs(10);
    program.assert_recorded(time, "RESOURCE_EXHAUSTED", "ResourceExhausted", Some("RESPONSE_NOT_READ")).await;
    within(Duration::from_secs(10), "the connection is closed", async || begun.connection.is_finished()).await;
    assert!(program.running.log().contains(r#""message":"call failed""#), "operators find slow clients");
}
