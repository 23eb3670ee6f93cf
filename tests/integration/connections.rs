//! Connections that are silent, that send garbage, or that are too many.

use crate::{
    certificates::{Authority, Secret},
    facade::eventually,
    port::{Port, call, trusting},
    tls::{config, connect},
};
use face_liveness_facade::server::{
    incoming::{CloseReason, Limits, Protocol},
    tls::Tls,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Code, transport::Server};
use tonic_health::pb::HealthCheckRequest;

const SOON: Duration = Duration::from_millis(50);
const NEVER: Duration = Duration::from_secs(3600);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn limits(max_connections: usize, time: Duration) -> Limits {
    Limits {
        max_connections,
        handshake_timeout: time,
        first_bytes_timeout: time,
        max_lifetime: None,
        evicts_oldest: false,
    }
}

/// Reads until the server closes the connection. Panics after ten seconds.
async fn closed(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut read = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut read)).await;
    // A reset also closes the connection.
    end.expect("the server closes the connection").ok();
    read
}

async fn assert_closed(port: &Port, reason: CloseReason, count: u64) {
    eventually("the event is counted", async || port.connections.closed(reason) == count).await;
    eventually("the connection is no longer counted", async || port.connections.live() == 0).await;
    let all: u64 = CloseReason::ALL.iter().map(|reason| port.connections.closed(*reason)).sum();
    assert_eq!(all, count, "all for one reason");
}

async fn tls_port(limits: Limits) -> (Authority, Secret, Port) {
    let authority = Authority::new();
    let secret = Secret::new(&authority.server(), "");
    let tls = Tls::load(secret.files()).expect("valid files");
    let port = Port::open(Some(tls), limits).await;
    (authority, secret, port)
}

#[tokio::test]
async fn a_connection_that_sends_nothing_times_out() {
    let port = Port::open(None, limits(10, SOON)).await;
    assert_eq!(closed(port.raw().await).await, b"");
    assert_closed(&port, CloseReason::Timeout, 1).await;
}

#[tokio::test]
async fn a_connection_that_stalls_in_the_preface_times_out() {
    let port = Port::open(None, limits(10, SOON)).await;
    let mut stream = port.raw().await;
    stream.write_all(&PREFACE[..23]).await.expect("the connection is open");
    assert_eq!(closed(stream).await, b"");
    assert_closed(&port, CloseReason::Timeout, 1).await;
}

#[tokio::test]
async fn a_connection_that_sends_nothing_before_the_tls_handshake_times_out() {
    let (_authority, _secret, port) = tls_port(Limits { handshake_timeout: SOON, ..limits(10, NEVER) }).await;
    closed(port.raw().await).await;
    assert_closed(&port, CloseReason::Timeout, 1).await;
}

#[tokio::test]
async fn a_connection_that_sends_nothing_after_the_tls_handshake_times_out() {
    let (authority, _secret, port) = tls_port(Limits { first_bytes_timeout: SOON, ..limits(10, NEVER) }).await;
    let stream = connect(&port, Arc::new(config(&authority, &rustls::version::TLS13, &[b"h2"]))).await;
    closed(stream.expect("a handshake")).await;
    assert_closed(&port, CloseReason::Timeout, 1).await;
}

#[tokio::test]
async fn silent_connections_do_not_delay_other_clients() {
    let (authority, _secret, port) = tls_port(limits(100, NEVER)).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(port.raw().await);
    }
    eventually("all are open", async || port.connections.live() == 50).await;
    port.call(Some(trusting(&authority))).await.expect("a response");
    drop(silent);
    assert_closed(&port, CloseReason::Left, 50).await;
}

#[tokio::test]
async fn a_connection_that_sends_garbage_is_closed_immediately() {
    let port = Port::open(None, limits(10, NEVER)).await;
    let (_authority, _secret, tls_port) = tls_port(limits(10, NEVER)).await;
    for port in [port, tls_port] {
        let mut stream = port.raw().await;
        stream.write_all(b"GET / HTTP/1.1\r\n").await.expect("the connection is open");
        closed(stream).await;
        assert_closed(&port, CloseReason::Handshake, 1).await;
    }
}

#[tokio::test]
async fn a_preface_that_arrives_byte_by_byte_is_accepted() {
    let port = Port::open(None, limits(10, NEVER)).await;
    let mut stream = port.raw().await;
    stream.set_nodelay(true).expect("the connection is open");
    for byte in PREFACE {
        stream.write_u8(*byte).await.expect("the connection is open");
        tokio::task::yield_now().await;
    }
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("the connection is open");
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.expect("the server's settings");
    assert_eq!(head[3], 4, "a SETTINGS frame");
}

#[tokio::test]
async fn a_port_for_any_protocol_serves_http1_and_http2() {
    let server = Server::builder().accept_http1(true);
    let port = Port::with(None, limits(10, NEVER), Protocol::Any, server).await;
    port.call(None).await.expect("a response");
    let mut stream = port.raw().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .expect("the connection is open");
    let response = String::from_utf8(closed(stream).await).expect("it is text");
    assert!(response.starts_with("HTTP/1.1 "), "{response}");
}

#[tokio::test]
async fn a_port_for_any_protocol_times_out_silent_connections() {
    let server = Server::builder().accept_http1(true);
    let port = Port::with(None, limits(10, SOON), Protocol::Any, server).await;
    closed(port.raw().await).await;
    assert_closed(&port, CloseReason::Timeout, 1).await;
}

#[tokio::test]
async fn a_connection_above_the_limit_is_rejected_until_another_one_closes() {
    let port = Port::open(None, limits(1, NEVER)).await;
    let mut first = port.client(None).await.expect("a connection");
    call(&mut first).await.expect("a response");
    let mut second = port.client(None).await.expect("a connection");
    assert_eq!(call(&mut second).await.expect_err("too many").code(), Code::ResourceExhausted);
    call(&mut first).await.expect("this connection is below the limit");
    drop(first);
    eventually("a connection is closed", async || port.connections.live() == 1).await;
    call(&mut second).await.expect("a response on the same connection");
    let mut third = port.client(None).await.expect("a connection");
    assert_eq!(call(&mut third).await.expect_err("too many").code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_connection_at_the_hard_limit_is_closed_immediately() {
    let limits = limits(1, NEVER);
    let port = Port::open(None, limits).await;
    let mut first = port.client(None).await.expect("a connection");
    call(&mut first).await.expect("a response");
    let mut silent: Vec<TcpStream> = Vec::new();
    while silent.len() + 1 < limits.hard_limit() {
        silent.push(port.raw().await);
    }
    eventually("all are open", async || port.connections.live() == limits.hard_limit()).await;
    assert_eq!(closed(port.raw().await).await, b"");
    assert_eq!(port.connections.closed(CloseReason::Limit), 1);
    assert_eq!(port.connections.live(), limits.hard_limit());
    call(&mut first).await.expect("this connection is below the limit");
    drop(silent.pop());
    eventually("a connection is closed", async || port.connections.live() < limits.hard_limit()).await;
    let mut second = port.client(None).await.expect("a connection");
    assert_eq!(call(&mut second).await.expect_err("too many").code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_connection_at_its_maximum_age_is_closed_and_no_longer_counted() {
    let server = Server::builder().max_connection_age(SOON);
    let port = Port::with(None, limits(10, NEVER), Protocol::Http2, server).await;
    let mut client = port.client(None).await.expect("a connection");
    call(&mut client).await.expect("a response");
    eventually("it is closed", async || port.connections.live() == 0).await;
    call(&mut client).await.expect("a response on a new connection");
}

#[tokio::test]
async fn a_connection_that_ignores_goaway_is_closed_after_the_grace_period() {
    let server = Server::builder().max_connection_age(SOON);
    let limits = Limits { max_lifetime: Some(10 * SOON), ..limits(10, NEVER) };
    let port = Port::with(None, limits, Protocol::Http2, server).await;
    let mut client = port.client(None).await.expect("a connection");
    let mut watch = client.watch(HealthCheckRequest::default()).await.expect("a watch").into_inner();
    watch.message().await.expect("a response").expect("a status");
    let started = Instant::now();
    let end = tokio::time::timeout(Duration::from_secs(10), watch.message()).await;
    end.expect("it is closed").expect_err("the watch does not end by itself");
    assert!(started.elapsed() > 4 * SOON, "it gets a GOAWAY first");
    eventually("the connection is no longer counted", async || port.connections.live() == 0).await;
    call(&mut client).await.expect("a response on a new connection");
}

#[tokio::test]
async fn a_connection_that_ignores_keepalive_pings_is_closed() {
    let server = Server::builder().http2_keepalive_interval(Some(SOON)).http2_keepalive_timeout(Some(SOON));
    let port = Port::with(None, limits(10, NEVER), Protocol::Http2, server).await;
    let mut stream = port.raw().await;
    stream.write_all(PREFACE).await.expect("the connection is open");
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("the connection is open");
    closed(stream).await;
    eventually("the connection is no longer counted", async || port.connections.live() == 0).await;
}
