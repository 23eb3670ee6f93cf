//! Graceful shutdown and the maximum connection age, as clients see them.

use crate::{
    admin::{get, value},
    facade::{eventually, id, reason, request},
    hostile::raw::{call, connect_to, request_message},
    program::{Running, aws, serve, simulator},
    specification::{CALL, CHECK, Connection, REFLECTION, WATCH, message},
};
use face_liveness_facade::{
    proto::{self, GetLivenessResultRequest, LivenessStatus, face_liveness_service_client::FaceLivenessServiceClient},
    server::SERVICE_NAME,
    simulator::{Fault, FaultKind, Pace, Session, Simulator, Status},
};
use hyper_util::rt::TokioIo;
use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tonic::{
    codegen::{Bytes, http::Request},
    transport::Channel,
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// A session that has succeeded, and one that stays pending.
const SUCCEEDED: u32 = 1;
const PENDING: u32 = 2;

/// Drain delay and drain timeout of the tests that reach both.
const DRAIN_TIME: Duration = Duration::from_millis(500 + 1000);

const STARTED: &str = r#"grpc_server_started_total{grpc_method="GetLivenessResult",grpc_service="faceliveness.v1.FaceLivenessService",grpc_type="unary"}"#;

/// How much longer shutdown may take on a busy machine.
const ALLOWANCE: Duration = Duration::from_secs(3);

/// How long the server waits for clients that neither call nor acknowledge GOAWAY.
const QUIET: Duration = Duration::from_secs(5);

/// The pause between two calls of a client, so that the load leaves processor time to other tests.
const PACE: Duration = Duration::from_millis(3);

async fn start(flags: &[&str]) -> (Simulator, Running) {
    let (simulator, endpoint) = simulator().await;
    for (number, status) in [(SUCCEEDED, Status::Succeeded), (PENDING, Status::InProgress)] {
        simulator.place(Session { pace: Pace::Frozen(status), ..Session::new(id(number)) });
    }
    let running = serve(&[&["--quota-tps", "0"], flags].concat(), &aws(&endpoint));
    eventually("it is ready", async || get(&running.admin_address, "/readyz").await.0 == 200).await;
    (simulator, running)
}

/// Returns an idle HTTP/1 connection to the admin port, after one request.
async fn kept_alive(running: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(&running.admin_address).await.expect("it listens");
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: admin\r\n\r\n").await.expect("the server reads");
    let mut response = Vec::new();
    while !response.ends_with(b"alive\n") {
        assert_ne!(stream.read_buf(&mut response).await.expect("a response"), 0, "the connection was closed");
    }
    stream
}

async fn channel(running: &Running) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", running.address)).expect("an address is a URI");
    endpoint.connect().await.expect("it listens")
}

async fn client(running: &Running) -> FaceLivenessServiceClient<Channel> {
    FaceLivenessServiceClient::new(channel(running).await)
}

fn with_wait(number: u32, wait: Duration) -> GetLivenessResultRequest {
    let wait = wait.try_into().expect("it is short");
    GetLivenessResultRequest { wait: Some(wait), ..request(&id(number)) }
}

fn status(response: tonic::Response<proto::GetLivenessResultResponse>) -> LivenessStatus {
    response.into_inner().result.expect("a result").status()
}

async fn health(client: &mut HealthClient<Channel>, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    client.check(request).await.expect("a status").into_inner().status()
}

#[tokio::test]
async fn shutdown_under_load_fails_no_request_and_does_not_wait_for_idle_clients() {
    let (delay, timeout) = (Duration::from_secs(2), Duration::from_secs(15));
    let (_simulator, mut running) = start(&["--drain-delay", "2s", "--drain-timeout", "15s"]).await;
    let mut load = JoinSet::new();
    let (stopping, completed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..4 {
        let (mut client, stopping, completed) = (client(&running).await, Arc::clone(&stopping), Arc::clone(&completed));
        load.spawn(async move {
            // A load balancer still sends calls for a while after shutdown has begun.
            let mut remaining = 50;
            while remaining > 0 {
                let response = client.get_liveness_result(request(&id(SUCCEEDED))).await.expect("no request is lost");
                assert_eq!(status(response), LivenessStatus::Succeeded);
                completed.fetch_add(1, Relaxed);
                remaining -= i32::from(stopping.load(Relaxed));
                tokio::time::sleep(PACE).await;
            }
        });
    }
    let wait = |mut client: FaceLivenessServiceClient<Channel>| async move {
        let response = client.get_liveness_result(with_wait(PENDING, Duration::from_secs(40))).await;
        assert_eq!(status(response.expect("no wait is lost")), LivenessStatus::InProgress);
    };
    for _ in 0..4 {
        load.spawn(wait(client(&running).await));
    }
    let idle = (channel(&running).await, kept_alive(&running).await);
    let mut watch = HealthClient::new(channel(&running).await);
    let watched = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    let mut watch = watch.watch(watched).await.expect("a stream").into_inner();
    let observed = watch.message().await.expect("no error").expect("a status").status();
    assert_eq!(observed, ServingStatus::Serving);
    eventually("the load has started", async || completed.load(Relaxed) > 100).await;

    let signalled = Instant::now();
    running.send_sigterm();
    eventually("it is not ready", async || get(&running.admin_address, "/readyz").await.0 == 503).await;
    let delayed = signalled.elapsed();
    assert!(delayed < delay / 2, "it reports it after {delayed:?}");
    assert_eq!(get(&running.admin_address, "/livez").await.0, 200);
    for port in [&running.address, &running.admin_address] {
        let endpoint = Channel::from_shared(format!("http://{port}")).expect("an address is a URI");
        let mut client = HealthClient::new(endpoint.connect().await.expect("it still listens"));
        assert_eq!(health(&mut client, SERVICE_NAME).await, ServingStatus::NotServing);
        assert_eq!(health(&mut client, "").await, ServingStatus::Serving);
    }
    load.spawn(wait(client(&running).await));
    stopping.store(true, Relaxed);

    let end = watch.message().await.expect_err("the watch reports no status before its end");
    assert_eq!(reason(&end), "SHUTTING_DOWN");
    assert!(signalled.elapsed() >= delay, "the watch ends after {:?}", signalled.elapsed());
    assert_eq!(running.wait_for_exit().await.code(), Some(0));
    let took = signalled.elapsed();
    load.join_all().await;
    assert!(took >= delay && took < delay + ALLOWANCE, "shutdown took {took:?}, and may take {timeout:?}");
    assert!(running.log().contains(r#""message":"stopped""#), "{}", running.log());
    drop(idle);
}

#[tokio::test]
async fn a_read_in_progress_at_shutdown_completes() {
    let (simulator, mut running) = start(&[]).await;
    simulator.script(Fault::new(FaultKind::Latency { ms: 1000 }));
    let mut client = client(&running).await;
    let call = tokio::spawn(async move { client.get_liveness_result(request(&id(SUCCEEDED))).await });
    eventually("the read has started", async || simulator.reads() == 1).await;
    running.send_sigterm();
    assert_eq!(running.wait_for_exit().await.code(), Some(0));
    assert_eq!(status(call.await.expect("no panic").expect("a response")), LivenessStatus::Succeeded);
}

#[tokio::test]
async fn a_caller_of_a_hung_read_gets_shutting_down_before_the_drain_ends() {
    let flags = ["--drain-delay", "500ms", "--drain-timeout", "1s", "--upstream-timeout", "1h"];
    let (simulator, mut running) = start(&flags).await;
    simulator.script(Fault::new(FaultKind::Hang));
    let mut client = client(&running).await;
    let call = tokio::spawn(async move { client.get_liveness_result(request(&id(SUCCEEDED))).await });
    eventually("the read has started", async || simulator.reads() == 1).await;
    let signalled = Instant::now();
    running.send_sigterm();
    assert_eq!(running.wait_for_exit().await.code(), Some(0));
    assert!(signalled.elapsed() < DRAIN_TIME + ALLOWANCE, "shutdown took {:?}", signalled.elapsed());
    assert_eq!(reason(&call.await.expect("no panic").expect_err("nothing is known")), "SHUTTING_DOWN");
}

#[tokio::test]
async fn streams_without_a_whole_request_end_soon_in_a_shutdown() {
    let (_simulator, mut running) = start(&["--drain-delay", "500ms", "--drain-timeout", "15s"]).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::open(&running.address).await;
        for path in [CALL, CHECK, WATCH, REFLECTION] {
            let whole = message(path);
            for sent in [0, whole.len() / 2, whole.len()] {
                // A message alone is a whole request of reflection.
                if path != REFLECTION || sent < whole.len() {
                    let stream = connection.begin(path, None, &whole[..sent]);
                    streams.push((format!("{path}, {sent} bytes"), stream));
                }
            }
        }
    }
    eventually("the calls have started", async || {
        let (_, metrics) = get(&running.admin_address, "/metrics").await;
        value(&metrics, STARTED) == 6.0
    })
    .await;
    let signalled = Instant::now();
    running.send_sigterm();
    for (what, stream) in streams {
        let (_, status) = stream.status().await;
        let actual = (status.code(), reason(&status));
        assert_eq!(actual, (tonic::Code::Unavailable, "SHUTTING_DOWN".to_owned()), "{what}: {status:?}");
    }
    assert_eq!(running.wait_for_exit().await.code(), Some(0));
    let took = signalled.elapsed();
    assert!(took < Duration::from_millis(500) + ALLOWANCE, "shutdown took {took:?}");
    assert!(running.log().contains(r#""message":"stopped""#), "{}", running.log());
}

#[tokio::test]
async fn clients_that_do_not_acknowledge_the_end_of_their_connection_do_not_delay_a_shutdown() {
    let (_simulator, mut running) = start(&["--drain-delay", "0s", "--drain-timeout", "15s"]).await;
    // The preface and SETTINGS; then half of the headers of a call. No acknowledgment follows.
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let half_headers = [&preface[..], &[0, 0, 20, 1, 4, 0, 0, 0, 1, 0x83, 0x86]].concat();
    let mut silent = Vec::new();
    for sent in [preface, half_headers] {
        let mut stream = TcpStream::connect(&running.address).await.expect("it listens");
        stream.write_all(&sent).await.expect("the connection is open");
        stream.read_u8().await.expect("the server's SETTINGS");
        silent.push(stream);
    }
    let signalled = Instant::now();
    running.send_sigterm();
    assert_eq!(running.wait_for_exit().await.code(), Some(0));
    assert!(signalled.elapsed() < QUIET + ALLOWANCE, "shutdown took {:?}", signalled.elapsed());
    assert!(running.log().contains(r#""message":"stopped""#), "{}", running.log());
}

#[tokio::test]
async fn a_call_that_a_stalled_client_sends_before_it_reads_goaway_completes() {
    let (_simulator, mut running) = start(&["--drain-delay", "0s", "--drain-timeout", "15s"]).await;
    let address = running.address.parse().expect("an address");
    // The client processes no frame before its second call: it only sends.
    let (mut reader, mut writer) = connect_to(address, &[]).await;
    writer.write_all(&call(1, &request_message(SUCCEEDED))).await.expect("the connection is open");
    reader.read_data().await;
    running.send_sigterm();
    let is_closed = async || TcpStream::connect(&running.address).await.is_err();
    eventually("the port is closed, and GOAWAY is sent", is_closed).await;
    tokio::time::sleep(QUIET / 2).await;
    writer.write_all(&call(3, &request_message(SUCCEEDED))).await.expect("the connection is open");
    reader.read_data().await;
    drop(writer);
    assert_eq!(running.wait_for_exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_response_that_is_not_read_delays_shutdown_only_until_the_drain_timeout() {
    let (_simulator, mut running) = start(&["--drain-delay", "500ms", "--drain-timeout", "1s"]).await;
    let stream = TcpStream::connect(&running.address).await.expect("it listens");
    let mut builder = h2::client::Builder::new();
    let connected = builder.initial_window_size(0).handshake::<_, Bytes>(stream).await;
    let (mut sender, connection) = connected.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let call = Request::post(format!("http://localhost{CALL}")).header("content-type", "application/grpc");
    let call = call.body(()).expect("a valid request");
    let (response, mut stream) = sender.send_request(call, false).expect("the connection is open");
    stream.send_data(message(CALL).into(), true).expect("the stream is open");
    let _unread = response.await.expect("the headers of the response");
    let signalled = Instant::now();
    running.send_sigterm();
    assert_eq!(running.wait_for_exit().await.code(), Some(0));
    let took = signalled.elapsed();
    assert!(took >= DRAIN_TIME && took < DRAIN_TIME + ALLOWANCE, "shutdown took {took:?}");
    eventually("the timeout is logged", async || running.log().contains("outlasted the drain timeout")).await;
    connection.abort();
}

/// Returns a client, and the number of its connections so far.
async fn counting_client(running: &Running) -> (FaceLivenessServiceClient<Channel>, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let (address, count) = (running.address.clone(), Arc::clone(&connections));
    let connector = tower::service_fn(move |_| {
        count.fetch_add(1, Relaxed);
        let address = address.clone();
        async { TcpStream::connect(address).await.map(TokioIo::new) }
    });
    let endpoint = Channel::from_static("http://facade");
    let channel = endpoint.connect_with_connector(connector).await.expect("it listens");
    (FaceLivenessServiceClient::new(channel), connections)
}

/// Returns whether tonic failed the call before it sent it, because the connection was closing.
/// Other gRPC libraries retry such a call by themselves (gRFC A6, transparent retries).
fn was_never_sent(status: &tonic::Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.to_string() == "operation was canceled" {
            return true;
        }
        source = error.source();
    }
    false
}

#[tokio::test]
async fn connections_reach_their_maximum_age_without_failed_calls() {
    let (_simulator, running) = start(&["--max-connection-age", "1s"]).await;
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (mut client, connections) = counting_client(&running).await;
        let mut waiter = client.clone();
        // Longer than the age of two connections.
        let wait = Duration::from_millis(2500);
        load.spawn(async move {
            let started = Instant::now();
            let response = waiter.get_liveness_result(with_wait(PENDING, wait)).await.expect("the call survives");
            assert_eq!(status(response), LivenessStatus::InProgress);
            assert!(started.elapsed() >= wait);
            1
        });
        load.spawn(async move {
            let mut completed = 0;
            while connections.load(Relaxed) < 4 {
                match client.get_liveness_result(request(&id(SUCCEEDED))).await {
                    Ok(response) => assert_eq!(status(response), LivenessStatus::Succeeded),
                    Err(status) if was_never_sent(&status) => continue,
                    Err(status) => panic!("a call failed with its connection: {status:?}"),
                }
                completed += 1;
                tokio::time::sleep(PACE).await;
            }
            completed
        });
    }
    let load = tokio::time::timeout(Duration::from_secs(15), load.join_all()).await;
    let completed: u32 = load.expect("connections reach their maximum age").into_iter().sum();
    // Every call that the server started has completed.
    let call =
        r#"grpc_method="GetLivenessResult",grpc_service="faceliveness.v1.FaceLivenessService",grpc_type="unary""#;
    let metrics = get(&running.admin_address, "/metrics").await.1;
    assert_eq!(value(&metrics, &format!("grpc_server_started_total{{{call}}}")), f64::from(completed));
    assert_eq!(
        value(&metrics, &format!(r#"grpc_server_handled_total{{grpc_code="OK",{call}}}"#)),
        f64::from(completed)
    );
}
