//! Connections that say nothing, or the wrong thing, and too many of them.

use crate::{
    certificates::{Authority, Secret},
    facade::eventually,
    port::{Port, ask, trusting},
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
    Limits { max_connections, handshake_timeout: time, first_bytes_timeout: time, max_lifetime: None }
}

/// Reads until the other end has closed, which it has to do within ten seconds.
async fn closed(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut read = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut read)).await;
    // An end by a reset is one too.
    end.expect("it is closed").ok();
    read
}

async fn refused(port: &Port, refusal: CloseReason, count: u64) {
    eventually("it is counted", async || port.connections.closed(refusal) == count).await;
    eventually("its place is free", async || port.connections.live() == 0).await;
    let all: u64 = CloseReason::ALL.iter().map(|refusal| port.connections.closed(*refusal)).sum();
    assert_eq!(all, count, "for one reason only");
}

async fn tls_port(limits: Limits) -> (Authority, Secret, Port) {
    let authority = Authority::new();
    let secret = Secret::new(&authority.server(), "");
    let tls = Tls::load(secret.files()).expect("the files are sound");
    let port = Port::open(Some(tls), limits).await;
    (authority, secret, port)
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_after_its_time() {
    let port = Port::open(None, limits(10, SOON)).await;
    assert_eq!(closed(port.raw().await).await, b"");
    refused(&port, CloseReason::Timeout, 1).await;
}

#[tokio::test]
async fn a_connection_that_stops_in_the_preface_is_closed_after_its_time() {
    let port = Port::open(None, limits(10, SOON)).await;
    let mut stream = port.raw().await;
    stream.write_all(&PREFACE[..23]).await.expect("it is open");
    assert_eq!(closed(stream).await, b"");
    refused(&port, CloseReason::Timeout, 1).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_before_the_handshake_is_closed_after_its_time() {
    let (_authority, _secret, port) = tls_port(Limits { handshake_timeout: SOON, ..limits(10, NEVER) }).await;
    closed(port.raw().await).await;
    refused(&port, CloseReason::Timeout, 1).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_after_the_handshake_is_closed_after_its_time() {
    let (authority, _secret, port) = tls_port(Limits { first_bytes_timeout: SOON, ..limits(10, NEVER) }).await;
    let stream = connect(&port, Arc::new(config(&authority, &rustls::version::TLS13, &[b"h2"]))).await;
    closed(stream.expect("a handshake")).await;
    refused(&port, CloseReason::Timeout, 1).await;
}

#[tokio::test]
async fn those_that_say_nothing_hold_up_nobody() {
    let (authority, _secret, port) = tls_port(limits(100, NEVER)).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(port.raw().await);
    }
    eventually("all are open", async || port.connections.live() == 50).await;
    port.ask(Some(trusting(&authority))).await.expect("an answer");
    drop(silent);
    refused(&port, CloseReason::Left, 50).await;
}

#[tokio::test]
async fn garbage_is_closed_at_once() {
    let port = Port::open(None, limits(10, NEVER)).await;
    let (_authority, _secret, tls_port) = tls_port(limits(10, NEVER)).await;
    for port in [port, tls_port] {
        let mut stream = port.raw().await;
        stream.write_all(b"GET / HTTP/1.1\r\n").await.expect("it is open");
        closed(stream).await;
        refused(&port, CloseReason::Handshake, 1).await;
    }
}

#[tokio::test]
async fn a_preface_that_comes_byte_by_byte_is_read_and_given_on_as_a_whole() {
    let port = Port::open(None, limits(10, NEVER)).await;
    let mut stream = port.raw().await;
    stream.set_nodelay(true).expect("it is open");
    for byte in PREFACE {
        stream.write_u8(*byte).await.expect("it is open");
        tokio::task::yield_now().await;
    }
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("it is open");
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.expect("the server's settings");
    assert_eq!(head[3], 4, "a SETTINGS frame");
}

#[tokio::test]
async fn a_port_for_any_protocol_serves_http1_and_http2() {
    let server = Server::builder().accept_http1(true);
    let port = Port::with(None, limits(10, NEVER), Protocol::Any, server).await;
    port.ask(None).await.expect("an answer");
    let mut stream = port.raw().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.expect("it is open");
    let answer = String::from_utf8(closed(stream).await).expect("it is text");
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

#[tokio::test]
async fn a_port_for_any_protocol_closes_those_that_say_nothing_too() {
    let server = Server::builder().accept_http1(true);
    let port = Port::with(None, limits(10, SOON), Protocol::Any, server).await;
    closed(port.raw().await).await;
    refused(&port, CloseReason::Timeout, 1).await;
}

#[tokio::test]
async fn above_the_limit_a_connection_is_served_and_knows_it_until_others_end() {
    let port = Port::open(None, limits(1, NEVER)).await;
    let mut first = port.client(None).await.expect("a connection");
    ask(&mut first).await.expect("an answer");
    let mut second = port.client(None).await.expect("a connection");
    assert_eq!(ask(&mut second).await.expect_err("too many").code(), Code::ResourceExhausted);
    ask(&mut first).await.expect("it came in time");
    drop(first);
    eventually("there is room", async || port.connections.live() == 1).await;
    ask(&mut second).await.expect("an answer on the same connection");
    let mut third = port.client(None).await.expect("a connection");
    assert_eq!(ask(&mut third).await.expect_err("too many").code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn at_the_hard_limit_a_connection_is_closed_at_once() {
    let limits = limits(1, NEVER);
    let port = Port::open(None, limits).await;
    let mut first = port.client(None).await.expect("a connection");
    ask(&mut first).await.expect("an answer");
    let mut silent: Vec<TcpStream> = Vec::new();
    while silent.len() + 1 < limits.hard_limit() {
        silent.push(port.raw().await);
    }
    eventually("all are open", async || port.connections.live() == limits.hard_limit()).await;
    assert_eq!(closed(port.raw().await).await, b"");
    assert_eq!(port.connections.closed(CloseReason::Limit), 1);
    assert_eq!(port.connections.live(), limits.hard_limit());
    ask(&mut first).await.expect("it came in time");
    drop(silent.pop());
    eventually("there is room", async || port.connections.live() < limits.hard_limit()).await;
    let mut second = port.client(None).await.expect("a connection");
    assert_eq!(ask(&mut second).await.expect_err("too many").code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_connection_that_reaches_its_age_ends_and_gives_its_place_back() {
    let server = Server::builder().max_connection_age(SOON);
    let port = Port::with(None, limits(10, NEVER), Protocol::Http2, server).await;
    let mut client = port.client(None).await.expect("a connection");
    ask(&mut client).await.expect("an answer");
    eventually("it has ended", async || port.connections.live() == 0).await;
    ask(&mut client).await.expect("an answer on a new connection");
}

#[tokio::test]
async fn a_connection_that_does_not_end_when_it_is_asked_to_is_cut_off() {
    let server = Server::builder().max_connection_age(SOON);
    let limits = Limits { max_lifetime: Some(10 * SOON), ..limits(10, NEVER) };
    let port = Port::with(None, limits, Protocol::Http2, server).await;
    let mut client = port.client(None).await.expect("a connection");
    let mut watch = client.watch(HealthCheckRequest::default()).await.expect("a watch").into_inner();
    watch.message().await.expect("an answer").expect("a state");
    let started = Instant::now();
    let end = tokio::time::timeout(Duration::from_secs(10), watch.message()).await;
    end.expect("it is cut off").expect_err("a watch does not end by itself");
    assert!(started.elapsed() > 4 * SOON, "it is asked first");
    eventually("its place is free", async || port.connections.live() == 0).await;
    ask(&mut client).await.expect("an answer on a new connection");
}

#[tokio::test]
async fn a_connection_that_answers_no_ping_ends_and_gives_its_place_back() {
    let server = Server::builder().http2_keepalive_interval(Some(SOON)).http2_keepalive_timeout(Some(SOON));
    let port = Port::with(None, limits(10, NEVER), Protocol::Http2, server).await;
    let mut stream = port.raw().await;
    stream.write_all(PREFACE).await.expect("it is open");
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("it is open");
    closed(stream).await;
    eventually("its place is free", async || port.connections.live() == 0).await;
}
