//! gRPC over HTTP/2 by its specification, where client libraries do not test it.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use crate::{
    admin::{get, value},
    facade::{eventually, id, reason, request},
    program::{Running, aws, serve, simulator},
};
use face_liveness_facade::simulator::{Pace, Session, Simulator, Status};
use prost::Message;
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tonic::{
    Code,
    codegen::{
        Bytes,
        http::{HeaderMap, Request, Response},
    },
};
use tonic_types::StatusExt;

pub const CALL: &str = "/faceliveness.v1.FaceLivenessService/GetLivenessResult";
pub const CHECK: &str = "/grpc.health.v1.Health/Check";
pub const WATCH: &str = "/grpc.health.v1.Health/Watch";
pub const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const WATCHES: &str =
    r#"grpc_server_started_total{grpc_method="Watch",grpc_service="grpc.health.v1.Health",grpc_type="server_stream"}"#;

const UNKNOWN: &str = "/no.such.Service/Method";

async fn start() -> (Simulator, Running) {
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    (simulator, serve(&["--quota-tps", "0"], &aws(&endpoint)))
}

/// A connection that sends any request.
#[derive(Clone)]
pub struct Connection(h2::client::SendRequest<Bytes>);

/// A stream whose response has not been read.
pub struct Stream {
    response: h2::client::ResponseFuture,
    _request: h2::SendStream<Bytes>,
}

impl Connection {
    pub async fn open(address: &str) -> Self {
        Self::over(TcpStream::connect(address).await.expect("it listens")).await
    }

    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (client, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
        tokio::spawn(connection);
        Self(client)
    }

    /// Sends headers and some of the message; all of it if the stream ends.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], sent: &[u8], is_end: bool) -> Stream {
        let mut request = Request::builder().method(method).uri(format!("http://localhost{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a valid request");
        let (response, mut stream) = self.0.send_request(request, false).expect("the connection is open");
        if is_end || !sent.is_empty() {
            stream.send_data(Bytes::copy_from_slice(sent), is_end).expect("the stream is open");
        }
        Stream { response, _request: stream }
    }

    /// Sends a gRPC request that does not end.
    pub fn begin(&mut self, path: &str, timeout: Option<&str>, sent: &[u8]) -> Stream {
        let headers = [("content-type", "application/grpc"), ("te", "trailers")];
        let timeout = timeout.map(|timeout| ("grpc-timeout", timeout));
        let headers: Vec<_> = headers.into_iter().chain(timeout).collect();
        self.send("POST", path, &headers, sent, false)
    }
}

impl Stream {
    /// Returns the headers of the response, and the gRPC status in its headers or trailers.
    pub async fn status(self) -> (Response<()>, tonic::Status) {
        let response = async {
            let (response, mut body) = self.response.await.expect("a response").into_parts();
            let mut trailers = HeaderMap::new();
            if !body.is_end_stream() {
                while let Some(data) = body.data().await {
                    let size = data.expect("the whole body").len();
                    body.flow_control().release_capacity(size).expect("it was received");
                }
                trailers = body.trailers().await.expect("the end of the stream").unwrap_or_default();
            }
            let status =
                tonic::Status::from_header_map(if trailers.is_empty() { &response.headers } else { &trailers });
            (Response::from_parts(response, ()), status.expect("a gRPC status"))
        };
        timeout(Duration::from_secs(20), response).await.expect("the server ends the stream")
    }
}

/// Returns the message of a valid request to this path, with gRPC's prefix.
pub fn message(path: &str) -> Vec<u8> {
    let content = if path == CALL { request(&id(1)).encode_to_vec() } else { Vec::new() };
    let length = u32::try_from(content.len()).expect("a small message").to_be_bytes();
    [&[0], &length[..], &content].concat()
}

#[tokio::test]
async fn a_request_that_is_not_grpc_gets_415_or_405_from_every_service() {
    let (simulator, running) = start().await;
    let mut connection = Connection::open(&running.address).await;
    for path in [CALL, CHECK, WATCH, REFLECTION, UNKNOWN] {
        for (method, content_type, expected) in [
            ("POST", Some("application/json"), 415),
            ("POST", None, 415),
            ("POST", Some("application/grpc-web"), 415),
            ("POST", Some("application/grpc+json"), 415),
            ("POST", Some("application/grpcfoo"), 415),
            ("POST", Some("APPLICATION/JSON"), 415),
            ("PUT", Some("application/grpc"), 405),
            ("GET", None, 405),
            ("DELETE", Some("application/json"), 405),
        ] {
            let headers: Vec<_> = content_type.map(|value| ("content-type", value)).into_iter().collect();
            let (response, status) = connection.send(method, path, &headers, &message(path), true).status().await;
            let what = format!("{method} {path} {content_type:?}");
            assert_eq!(response.status(), expected, "{what}");
            let allow = response.headers().get("allow").map(|methods| methods.to_str().expect("ASCII"));
            assert_eq!(allow, (expected == 405).then_some("POST"), "{what}");
            assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"), "{what}");
            let details = status.get_error_details();
            let field = if expected == 405 { "method" } else { "content-type" };
            assert_eq!(details.bad_request().expect("a BadRequest").field_violations[0].field, field, "{what}");
        }
    }
    assert_eq!(simulator.reads(), 0);
    for content_type in ["application/grpc", "application/grpc+proto", "Application/GRPC;a=b"] {
        let headers = [("content-type", content_type)];
        let (response, status) = connection.send("POST", CALL, &headers, &message(CALL), true).status().await;
        assert_eq!((response.status().as_u16(), status.code()), (200, Code::Ok), "{content_type}");
    }
}

#[tokio::test]
async fn health_on_the_admin_port_must_be_grpc_and_its_pages_need_not() {
    let (_simulator, running) = start().await;
    let mut connection = Connection::open(&running.admin_address).await;
    let json = [("content-type", "application/json")];
    let (response, _) = connection.send("POST", CHECK, &json, &message(CHECK), true).status().await;
    assert_eq!(response.status(), 415);
    let (response, _) = connection.send("PUT", CHECK, &json, &message(CHECK), true).status().await;
    assert_eq!(response.status(), 405);
    let grpc = [("content-type", "application/grpc")];
    let (response, status) = connection.send("POST", CHECK, &grpc, &message(CHECK), true).status().await;
    assert_eq!((response.status().as_u16(), status.code()), (200, Code::Ok));
    assert_eq!(get(&running.admin_address, "/livez").await.0, 200);
    assert_eq!(get(&running.admin_address, "/metrics").await.0, 200);
}

#[tokio::test]
async fn a_request_that_never_ends_gets_deadline_exceeded_at_its_deadline() {
    let (simulator, running) = start().await;
    let mut connection = Connection::open(&running.address).await;
    let mut streams = Vec::new();
    for timeout in ["1S", "300m", "9m", "1m", "500u", "1n", "0S"] {
        for path in [CALL, CHECK, WATCH] {
            let whole = message(path);
            for sent in [0, whole.len() / 2, whole.len()] {
                let stream = connection.begin(path, Some(timeout), &whole[..sent]);
                streams.push((format!("{path} {timeout}, {sent} bytes"), stream));
            }
        }
    }
    for (what, stream) in streams {
        let (_, status) = stream.status().await;
        let actual = (status.code(), reason(&status));
        assert_eq!(actual, (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()), "{what}: {status:?}");
    }
    assert_eq!(simulator.reads(), 0);
    let counted = r#"face_liveness_errors_total{reason="DEADLINE_EXCEEDED"}"#;
    eventually("the calls are counted", async || {
        let (_, metrics) = get(&running.admin_address, "/metrics").await;
        crate::admin::value(&metrics, counted) == 21.0
    })
    .await;
}

/// Returns a connection, and the bytes that the server sends on it until its end.
async fn recorded_connection(address: &str) -> (Connection, JoinHandle<Vec<u8>>) {
    let (mut from_server, mut to_server) = TcpStream::connect(address).await.expect("it listens").into_split();
    let (client, proxy) = tokio::io::duplex(64 * 1024);
    let (mut from_client, mut to_client) = tokio::io::split(proxy);
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let sent = tokio::spawn(async move {
        let (mut sent, mut forwarded) = (Vec::new(), 0);
        while from_server.read_buf(&mut sent).await.is_ok_and(|count| count > 0) {
            to_client.write_all(&sent[forwarded..]).await.expect("the client reads");
            forwarded = sent.len();
        }
        sent
    });
    (Connection::over(client).await, sent)
}

/// Returns type and flags of each HTTP/2 frame (RFC 9113, 4.1).
fn frames(mut bytes: &[u8]) -> Vec<(u8, u8)> {
    let mut frames = Vec::new();
    while let [high, middle, low, kind, flags, _, _, _, _, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        frames.push((*kind, *flags));
        bytes = &rest[length.min(rest.len())..];
    }
    frames
}

/// A gRPC client with `healthCheckConfig` fails its calls when its watch ends before it has
/// received GOAWAY and connects again.
#[tokio::test]
async fn goaway_precedes_the_end_of_a_watch() {
    const HEADERS: u8 = 1;
    const GOAWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    let (_simulator, mut running) = start().await;
    let (mut connection, sent) = recorded_connection(&running.address).await;
    let headers = [("content-type", "application/grpc")];
    let watch = connection.send("POST", WATCH, &headers, &message(WATCH), true);
    eventually("the watch is open", async || {
        let (_, metrics) = get(&running.admin_address, "/metrics").await;
        value(&metrics, WATCHES) == 1.0
    })
    .await;
    running.send_sigterm();
    let (_, status) = watch.status().await;
    assert_eq!(reason(&status), "SHUTTING_DOWN");
    assert_eq!(running.wait_for_exit().await.code(), Some(0));
    let frames = frames(&sent.await.expect("no panic"));
    let goaway = frames.iter().position(|(kind, _)| *kind == GOAWAY);
    let end = frames.iter().position(|(kind, flags)| *kind == HEADERS && flags & END_STREAM != 0);
    assert!(goaway.expect("a GOAWAY") < end.expect("the end of the watch"), "type and flags: {frames:?}");
}
