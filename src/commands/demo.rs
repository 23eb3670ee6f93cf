//! The service and the simulator in one process, connected by the real AWS SDK over HTTP. A session
//! with a fixed id shows each case that a caller can see.

use super::open_files;
use crate::{
    app::App,
    config, process, proto,
    rekognition::Rekognition,
    server,
    session::SessionRefKey,
    simulator::{self, Fault, FaultKind, ImageStore, Outcome, Pace, Session, Simulator, Status},
    telemetry,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::net::TcpListener;
use tracing::level_filters::LevelFilter;

pub async fn run(config: config::Demo, warnings: &[String]) -> Result<(), String> {
    let (listen, admin_listen, mut config) = (config.listen, config.admin_listen, config.server());
    let lowered = open_files::fit(&mut config.max_connections)?;
    let stop = process::stop_signal();
    let telemetry = telemetry::init(Some(false), LevelFilter::INFO);
    telemetry::warn(&[warnings, &lowered].concat());
    process::prepare();
    let listener = server::bind(listen, "--listen")?;
    let admin = server::bind(admin_listen, "--admin-listen")?;
    let (address, admin_address) = (server::address(&listener)?, server::address(&admin)?);
    let aws = TcpListener::bind("127.0.0.1:0").await.map_err(|error| format!("cannot start the simulator: {error}"))?;
    let endpoint = format!("http://{}", aws.local_addr().map_err(|error| error.to_string())?);
    let simulator = simulator();
    let rekognition = Rekognition::at(&endpoint, "us-east-1", config.service.upstream_timeout);
    println!("{}", guide(client_address(address), client_address(admin_address)));
    let session_refs = SessionRefKey::random();
    let server = App { listener, admin, tls: None, session_refs, shared_cache: None, config, rekognition }.run(stop);
    let end = tokio::select! {
        end = server => end.map(drop).map_err(|error| format!("the server failed: {error}")),
        end = simulator.serve(aws, std::future::pending()) => end.map_err(|error| format!("the simulator failed: {error}")),
    };
    telemetry.shutdown(LAST_SPANS).await;
    end
}

/// Time to export the last spans.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// Returns the id of a session of the demo, which is easy to tell from a real one in a log.
fn id(number: &str) -> String {
    format!("facade00-0000-4000-8000-{number:0>12}")
}

fn simulator() -> Simulator {
    let simulator = Simulator::new(simulator::Config::default());
    let ended = |number, status| Session { pace: Pace::Frozen(status), ..Session::new(id(number)) };
    let succeeded = |number| ended(number, Status::Succeeded);
    let bucket = ImageStore::S3 { bucket: "demo-bucket".to_owned(), prefix: "checks".to_owned(), version: None };
    for session in [
        Session { images: ImageStore::None, challenge: None, sdk_type: None, ..succeeded("1") },
        Session { audit_images: 2, ..succeeded("2") },
        Session { pace: Pace::FromFirstRead, ..Session::new(id("3")) },
        Session { outcome: Outcome::Succeeded { confidence: Some(12.5) }, ..succeeded("4") },
        Session { outcome: Outcome::Succeeded { confidence: None }, ..succeeded("5") },
        Session { images: bucket, audit_images: 1, ..succeeded("6") },
        ended("7", Status::Failed),
        ended("8", Status::Expired),
        ended("9", Status::Created),
        ended("10", Status::InProgress),
        ended("11", Status::Other("UNDER_REVIEW".to_owned())),
    ] {
        simulator.place(session);
    }
    for (number, kind) in [
        ("e1", error("ThrottlingException")),
        ("e2", error("AccessDeniedException")),
        ("e3", error("ExpiredTokenException")),
        ("e4", FaultKind::Raw { status: 503, content_type: Some("text/html".into()), body: "<h1>Down</h1>".into() }),
        ("e5", FaultKind::Hang),
        ("e6", FaultKind::Raw { status: 200, content_type: None, body: String::new() }),
        ("e7", error("InvalidParameterException")),
        ("e8", error("SomethingOfTomorrowException")),
    ] {
        simulator.script(Fault { session_id: Some(id(number)), ..Fault::new(kind) });
    }
    simulator
}

fn error(code: &str) -> FaultKind {
    FaultKind::Error { code: code.to_owned(), status: 400, message: None }
}

/// Returns the address by which a client on this machine reaches a server. If the server listens on
/// all addresses, as in a container, that is loopback.
fn client_address(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())) } else { address }
}

/// Returns the text that a new user reads.
fn guide(address: SocketAddr, admin: SocketAddr) -> String {
    let method = proto::GET_LIVENESS_RESULT.full_name;
    let call = |fields: &str, number: &str| {
        format!(r#"grpcurl -plaintext -d '{{"session_id":"{}"{fields}}}' {address} {method}"#, id(number))
    };
    let row = |number: &str, what: &str| format!("  {}  {what}\n", id(number));
    let states = [
        row("1", "SUCCEEDED, live"),
        row("2", "SUCCEEDED, live, with a reference image and two audit images"),
        row("3", "CREATED, IN_PROGRESS, SUCCEEDED: final 13 s after the first call"),
        row("4", "SUCCEEDED, but not live: the confidence is low"),
        row("5", "SUCCEEDED without a confidence"),
        row("6", "SUCCEEDED, images in S3"),
        row("7", "FAILED"),
        row("8", "EXPIRED"),
        row("9", "CREATED"),
        row("10", "IN_PROGRESS"),
        row("11", "a status that this version does not know"),
    ];
    let errors = [
        row("0", "SESSION_NOT_FOUND, as for any other id"),
        row("e1", "UPSTREAM_THROTTLED"),
        row("e2", "UPSTREAM_ACCESS_DENIED"),
        row("e3", "UPSTREAM_CREDENTIALS"),
        row("e4", "UPSTREAM_UNAVAILABLE"),
        row("e5", "UPSTREAM_TIMEOUT, after three attempts; DEADLINE_EXCEEDED with -max-time 1"),
        row("e6", "UPSTREAM_MALFORMED"),
        row("e7", "UPSTREAM_INVALID_PARAMETER"),
        row("e8", "UPSTREAM_UNKNOWN"),
    ];
    format!(
        "face-liveness-facade {version} listens on {address} and reads from a simulated AWS. Paste into another terminal:

A result and its verdict:

  {first}

A pending session: the response arrives when the session ends, 13 s after this call:

  {wait}

The face, into a file:

  {face} \\
    | jq -r .result.referenceImage.content | base64 -d > face.jpg

An error with its details:

  {denied}

The same with buf:

  buf curl --http2-prior-knowledge --protocol grpc -d '{{\"session_id\":\"{one}\",\"min_confidence\":80}}' http://{address}/{method}

Sessions. They do not expire:

{states}
Errors:

{errors}
Metrics, and health for probes: http://{admin}/

Requests are logged below. The service polls a pending session for three minutes, also without callers, so that its
result is not lost. Ctrl-C stops.
",
        version = env!("CARGO_PKG_VERSION"),
        first = call(r#","min_confidence":80"#, "1"),
        face = call(r#","view":"RESULT_VIEW_REFERENCE""#, "2"),
        wait = call(r#","wait":"50s","min_confidence":80"#, "3"),
        denied = call("", "e2"),
        one = id("1"),
        states = states.concat(),
        errors = errors.concat(),
    )
}
