//! Clients of the admin port that hold connections, do not read, or scrape without pause. Probes
//! get their response, and calls are not slowed.

use super::target::Target;
use crate::{
    admin::get,
    facade::{eventually, id, request},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{
    codegen::{Bytes, http::Request},
    transport::Channel,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// More than the port serves.
const CONNECTIONS: usize = 236;

/// The timeout of a liveness probe by default.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Opens connections that stay open from this side, and sends `bytes` on each.
async fn hold(address: SocketAddr, bytes: &[u8]) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.expect("the admin port listens");
        // The port may have closed it.
        stream.write_all(bytes).await.ok();
        held.push(stream);
    }
    held
}

/// Asserts that ten rounds of the kubelet's probes pass. It counts a failure after `attempts`.
async fn assert_probes_pass(target: &Target, what: &str, attempts: usize) {
    for _ in 0..10 {
        let mut failures = Vec::new();
        while let Err(failure) = probe(target.admin_address()).await {
            failures.push(failure);
            assert!(failures.len() < attempts, "{what}: {failures:?}");
        }
    }
}

/// Probes by HTTP and by gRPC, each within the timeout of a probe.
async fn probe(address: SocketAddr) -> Result<(), String> {
    for path in ["/livez", "/readyz"] {
        match timeout(PROBE_TIMEOUT, try_get(address, path)).await {
            Ok((200, _)) => {}
            Ok((status, body)) => return Err(format!("{path} has status {status}, {body:?}")),
            Err(_) => return Err(format!("{path} takes too long")),
        }
    }
    let check = async {
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address is a URI");
        let mut client = HealthClient::new(endpoint.connect().await.map_err(|error| error.to_string())?);
        client.check(HealthCheckRequest::default()).await.map_err(|status| status.to_string())
    };
    timeout(PROBE_TIMEOUT, check).await.map_err(|_| "the gRPC probe takes too long".to_owned())?.map(drop)
}

/// Returns the status and body of a response; status 0 if the connection was closed without one.
async fn try_get(address: SocketAddr, path: &str) -> (u16, String) {
    let (mut response, request) =
        (String::new(), format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    let Ok(mut stream) = TcpStream::connect(address).await else { return (0, response) };
    stream.write_all(request.as_bytes()).await.ok();
    stream.read_to_string(&mut response).await.ok();
    let status = response.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, response.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

async fn ready_target() -> Target {
    let target = Target::start(&[]).await;
    eventually("it is ready", async || get(target.admin_address(), "/readyz").await.0 == 200).await;
    target
}

#[tokio::test]
async fn probes_pass_while_others_hold_connections_of_the_admin_port() {
    let target = ready_target().await;
    let unread = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
    for (what, bytes) in [
        ("silent", &b""[..]),
        ("half a header", b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: "),
        ("kept alive", b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("unread responses", unread.as_bytes()),
        ("half a body", b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx"),
        ("part of the HTTP/2 preface", b"PRI * HT"),
        ("HTTP/2 without a request", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        ("garbage", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
    ] {
        let held = hold(target.admin_address(), bytes).await;
        assert_probes_pass(&target, what, 1).await;
        assert_eq!(get(target.admin_address(), "/metrics").await.0, 200, "{what}");
        drop(held);
    }
    assert!(target.program.log().contains("the oldest are closed"), "{}", target.program.log());
}

#[tokio::test]
async fn probes_pass_while_others_send_byte_by_byte_and_reconnect() {
    let target = ready_target().await;
    let (address, mut clients) = (target.admin_address(), JoinSet::new());
    for _ in 0..CONNECTIONS {
        clients.spawn(async move {
            loop {
                let Ok(mut stream) = TcpStream::connect(address).await else { continue };
                stream.write_all(b"GET /livez HTTP/1.1\r\nX-Slow: ").await.ok();
                while stream.write_all(b"x").await.is_ok() {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    // As Kubernetes does by default, since these clients take the machine's time, too.
    assert_probes_pass(&target, "one byte at a time", 3).await;
}

#[tokio::test]
async fn probes_pass_while_http2_clients_leave_responses_unread() {
    let target = ready_target().await;
    let mut held = (Vec::new(), JoinSet::new());
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(target.admin_address()).await.expect("the admin port listens");
        let connected = h2::client::Builder::new().initial_window_size(0).handshake::<_, Bytes>(stream).await;
        let Ok((mut client, connection)) = connected else { continue };
        held.1.spawn(connection);
        for _ in 0..20 {
            let request = Request::get("http://localhost/metrics").body(()).expect("a valid request");
            held.0.extend(client.send_request(request, true).ok());
        }
    }
    assert_probes_pass(&target, "HTTP/2 unread responses", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_clients_that_scrape_without_pause_are_paced_and_do_not_slow_calls() {
    let target = ready_target().await;
    let quiet = median_latency(&target).await;
    let (address, mut scrapers) = (target.admin_address(), JoinSet::new());
    let started = Instant::now();
    for _ in 0..8 {
        scrapers.spawn(async move {
            let mut scrapes = 0;
            while started.elapsed() < Duration::from_secs(3) {
                assert_eq!(get(address, "/metrics").await.0, 200);
                scrapes += 1;
            }
            scrapes
        });
    }
    let scraped = median_latency(&target).await;
    println!("median latency: {quiet:?}, and {scraped:?} while eight clients scrape");
    let scrapes: Vec<i32> = scrapers.join_all().await;
    assert!(scrapes.iter().all(|scrapes| (2..=33).contains(scrapes)), "scrapes in three seconds: {scrapes:?}");
    let most = 10 * quiet + Duration::from_millis(20);
    assert!(scraped < most, "median latency: {quiet:?}, and {scraped:?} while eight clients scrape");
}

/// Returns the median latency of calls for a cached session in two seconds.
async fn median_latency(target: &Target) -> Duration {
    let (mut client, started, mut latencies) = (target.client().await, Instant::now(), Vec::new());
    while started.elapsed() < Duration::from_secs(2) {
        let called = Instant::now();
        client.get_liveness_result(request(&id(1))).await.expect("a response");
        latencies.push(called.elapsed());
        sleep(Duration::from_millis(5)).await;
    }
    latencies.sort();
    latencies[latencies.len() / 2]
}
