//! The life of a server as its clients see it: a stop under load loses nothing and is not held up,
//! and connections end of age unnoticed.

use crate::{
    admin::{get, value},
    facade::{eventually, id, reason, request},
    program::{Running, aws, serve, simulator},
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
use tonic::{codegen::http::Request, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// A session that has ended, and one that never does.
const ENDED: u32 = 1;
const ENDLESS: u32 = 2;

/// What a stop takes at most by the settings of the tests that reach it.
const TIMES: Duration = Duration::from_millis(500 + 1000);

const STARTED: &str = r#"grpc_server_started_total{grpc_method="GetLivenessResult",grpc_service="faceliveness.v1.FaceLivenessService",grpc_type="unary"}"#;

/// How much longer than its settings a stop may take on a busy machine.
const ALLOWANCE: Duration = Duration::from_secs(3);

/// Between two calls of a client, so that a load of seconds leaves the machine to other tests, too.
const PACE: Duration = Duration::from_millis(3);

async fn start(flags: &[&str]) -> (Simulator, Running) {
    let (simulator, endpoint) = simulator().await;
    for (number, status) in [(ENDED, Status::Succeeded), (ENDLESS, Status::InProgress)] {
        simulator.place(Session { pace: Pace::Frozen(status), ..Session::new(id(number)) });
    }
    let running = serve(&[&["--quota-tps", "0"], flags].concat(), &aws(&endpoint));
    eventually("it is ready", async || get(&running.admin_address, "/readyz").await.0 == 200).await;
    (simulator, running)
}

/// An HTTP/1 connection to the admin port that has been made use of, and stays open.
async fn kept_alive(running: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(&running.admin_address).await.expect("it listens");
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: admin\r\n\r\n").await.expect("it reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"alive\n") {
        assert_ne!(stream.read_buf(&mut answer).await.expect("it answers"), 0, "it was closed");
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

fn waiting(number: u32, wait: Duration) -> GetLivenessResultRequest {
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
async fn a_stop_under_load_loses_no_request_and_nothing_idle_holds_it_up() {
    let (delay, timeout) = (Duration::from_secs(2), Duration::from_secs(15));
    let (_simulator, mut running) = start(&["--drain-delay", "2s", "--drain-timeout", "15s"]).await;
    let mut load = JoinSet::new();
    let (stopping, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..4 {
        let (mut client, stopping, answered) = (client(&running).await, Arc::clone(&stopping), Arc::clone(&answered));
        load.spawn(async move {
            // What routes to the server goes on for a while after it could know of the stop.
            let mut further = 50;
            while further > 0 {
                let answer = client.get_liveness_result(request(&id(ENDED))).await.expect("no request is lost");
                assert_eq!(status(answer), LivenessStatus::Succeeded);
                answered.fetch_add(1, Relaxed);
                further -= i32::from(stopping.load(Relaxed));
                tokio::time::sleep(PACE).await;
            }
        });
    }
    let wait = |mut client: FaceLivenessServiceClient<Channel>| async move {
        let answer = client.get_liveness_result(waiting(ENDLESS, Duration::from_secs(40))).await;
        assert_eq!(status(answer.expect("no wait is lost")), LivenessStatus::InProgress);
    };
    for _ in 0..4 {
        load.spawn(wait(client(&running).await));
    }
    let idle = (channel(&running).await, kept_alive(&running).await);
    let mut watch = HealthClient::new(channel(&running).await);
    let watched = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    let mut watch = watch.watch(watched).await.expect("a stream").into_inner();
    let seen = watch.message().await.expect("no error").expect("a status").status();
    assert_eq!(seen, ServingStatus::Serving);
    eventually("the load is on", async || answered.load(Relaxed) > 100).await;

    let signalled = Instant::now();
    running.signal();
    let seen = watch.message().await.expect("no error").expect("a status").status();
    assert_eq!(seen, ServingStatus::NotServing);
    let told = signalled.elapsed();
    assert!(told < delay / 2, "it is told at once, not after {told:?}");
    assert_eq!(get(&running.admin_address, "/readyz").await.0, 503);
    assert_eq!(get(&running.admin_address, "/livez").await.0, 200);
    for port in [&running.address, &running.admin_address] {
        let endpoint = Channel::from_shared(format!("http://{port}")).expect("an address is a URI");
        let mut client = HealthClient::new(endpoint.connect().await.expect("it still listens"));
        assert_eq!(health(&mut client, SERVICE_NAME).await, ServingStatus::NotServing);
        assert_eq!(health(&mut client, "").await, ServingStatus::Serving);
    }
    load.spawn(wait(client(&running).await));
    stopping.store(true, Relaxed);

    assert_eq!(running.end().await.code(), Some(0));
    let took = signalled.elapsed();
    load.join_all().await;
    assert!(took >= delay && took < delay + ALLOWANCE, "it stopped after {took:?}, and may take {timeout:?} at most");
    assert!(running.log().contains(r#""message":"stopped""#), "{}", running.log());
    drop(idle);
}

#[tokio::test]
async fn a_read_under_way_at_the_stop_is_answered() {
    let (simulator, mut running) = start(&[]).await;
    simulator.script(Fault::new(FaultKind::Latency { ms: 1000 }));
    let mut client = client(&running).await;
    let call = tokio::spawn(async move { client.get_liveness_result(request(&id(ENDED))).await });
    eventually("the read is under way", async || simulator.reads() == 1).await;
    running.signal();
    assert_eq!(running.end().await.code(), Some(0));
    assert_eq!(status(call.await.expect("no panic").expect("an answer")), LivenessStatus::Succeeded);
}

#[tokio::test]
async fn who_waits_for_a_read_that_hangs_is_sent_to_another_replica_before_the_stop_ends() {
    let flags = ["--drain-delay", "500ms", "--drain-timeout", "1s", "--upstream-timeout", "1h"];
    let (simulator, mut running) = start(&flags).await;
    simulator.script(Fault::new(FaultKind::Hang));
    let mut client = client(&running).await;
    let call = tokio::spawn(async move { client.get_liveness_result(request(&id(ENDED))).await });
    eventually("the read is under way", async || simulator.reads() == 1).await;
    let signalled = Instant::now();
    running.signal();
    assert_eq!(running.end().await.code(), Some(0));
    assert!(signalled.elapsed() < TIMES + ALLOWANCE, "it stopped after {:?}", signalled.elapsed());
    assert_eq!(reason(&call.await.expect("no panic").expect_err("nothing is known")), "SHUTTING_DOWN");
}

#[tokio::test]
async fn a_caller_who_never_ends_its_request_holds_the_stop_no_longer_than_the_drain_times() {
    let (_simulator, mut running) = start(&["--drain-delay", "500ms", "--drain-timeout", "1s"]).await;
    let stream = TcpStream::connect(&running.address).await.expect("it listens");
    let (mut sender, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let request = Request::post("http://localhost/faceliveness.v1.FaceLivenessService/GetLivenessResult");
    let request = request.header("content-type", "application/grpc").body(()).expect("it is sound");
    let _unended = sender.send_request(request, false).expect("the connection is open");
    eventually("the call is under way", async || {
        let (_, metrics) = get(&running.admin_address, "/metrics").await;
        value(&metrics, STARTED) == 1.0
    })
    .await;
    let signalled = Instant::now();
    running.signal();
    assert_eq!(running.end().await.code(), Some(0));
    let took = signalled.elapsed();
    assert!(took >= TIMES && took < TIMES + ALLOWANCE, "it stopped after {took:?}");
    eventually("it says so", async || running.log().contains("outlasted the drain timeout")).await;
    connection.abort();
}

/// A client that counts how often it connects.
async fn counted(running: &Running) -> (FaceLivenessServiceClient<Channel>, Arc<AtomicUsize>) {
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

/// Whether the client's library gave the call up before it sent it, for it learned just then that
/// the connection ends. tonic leaves it to its caller to repeat such a call, which gRPC's other
/// libraries do by themselves (gRFC A6, transparent retries).
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
async fn a_connection_ends_of_age_and_neither_a_long_call_nor_a_steady_load_sees_it() {
    let (_simulator, running) = start(&["--max-connection-age", "1s"]).await;
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (mut client, connections) = counted(&running).await;
        let mut waiter = client.clone();
        // Longer than two connections live.
        let wait = Duration::from_millis(2500);
        load.spawn(async move {
            let asked = Instant::now();
            let answer = waiter.get_liveness_result(waiting(ENDLESS, wait)).await.expect("it lives on");
            assert_eq!(status(answer), LivenessStatus::InProgress);
            assert!(asked.elapsed() >= wait);
            1
        });
        load.spawn(async move {
            let mut answered = 0;
            while connections.load(Relaxed) < 4 {
                match client.get_liveness_result(request(&id(ENDED))).await {
                    Ok(answer) => assert_eq!(status(answer), LivenessStatus::Succeeded),
                    Err(status) if was_never_sent(&status) => continue,
                    Err(status) => panic!("a call saw the end of its connection: {status:?}"),
                }
                answered += 1;
                tokio::time::sleep(PACE).await;
            }
            answered
        });
    }
    let load = tokio::time::timeout(Duration::from_secs(15), load.join_all()).await;
    let answered: u32 = load.expect("connections end of age").into_iter().sum();
    // What the server took is what was answered.
    let call =
        r#"grpc_method="GetLivenessResult",grpc_service="faceliveness.v1.FaceLivenessService",grpc_type="unary""#;
    let metrics = get(&running.admin_address, "/metrics").await.1;
    assert_eq!(value(&metrics, &format!("grpc_server_started_total{{{call}}}")), f64::from(answered));
    assert_eq!(value(&metrics, &format!(r#"grpc_server_handled_total{{grpc_code="OK",{call}}}"#)), f64::from(answered));
}
