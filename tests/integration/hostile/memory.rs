//! Clients that attack the program's memory: large messages, many header fields, many streams,
//! and responses that they do not read.

use super::{
    raw::{self, DATA, END_HEADERS, END_STREAM, HEADERS, PING, Reader},
    target::Target,
};
use crate::facade::{eventually, within};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, net::tcp::OwnedWriteHalf, time::timeout};

const RESULT: &str = "/faceliveness.v1.FaceLivenessService/GetLivenessResult";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
const NO_METHOD: &str = "/faceliveness.v1.FaceLivenessService/None";

/// The most memory that an attack may take. HTTP/2 keeps about 2 KiB for each stream that a
/// connection has had at once, so 24,000 streams take 48 MiB, and glibc retains some more.
const MAX_MEMORY: usize = 96 << 20;

/// How long a debug build on a busy machine may take for 40,000 rejections.
const REJECTION_LIMIT: Duration = Duration::from_secs(90);

/// How long a debug build on a busy machine may take to process an attack: ten million header
/// fields take some 20 s of processor time.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// The most streams per connection.
const STREAMS: u32 = 2_000;

/// A connection of an attacker. It reads responses only in `settle` and `read_in_background`.
pub struct Attacker {
    reader: Reader,
    writer: OwnedWriteHalf,
}

impl Attacker {
    /// Reads all further responses, as common clients do, until the connection closes.
    pub fn read_in_background(self) -> OwnedWriteHalf {
        let Self { mut reader, writer } = self;
        tokio::spawn(async move { while reader.frame().await.is_ok() {} });
        writer
    }

    pub async fn connect(address: SocketAddr) -> Self {
        let (reader, writer) = raw::connect_to(address, &[]).await;
        Self { reader, writer }
    }

    /// Sends bytes. Returns false if the server does not accept them.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        send(&mut self.writer, bytes).await
    }

    /// Opens this many streams with these header blocks.
    pub async fn open(&mut self, count: u32, block: impl Fn(u32) -> Vec<u8>) {
        for number in 0..count {
            let sent = self.send(&raw::frame(HEADERS, END_HEADERS, number * 2 + 1, &block(number))).await;
            assert!(sent, "the server reads the headers of stream {number}");
        }
    }

    /// Waits until the server has processed all that was sent before: it acknowledges a PING in
    /// order.
    pub async fn settle(&mut self) {
        const PAYLOAD: [u8; 8] = [7; 8];
        assert!(self.send(&raw::frame(PING, 0, 0, &PAYLOAD)).await, "the server reads a PING");
        timeout(SETTLE_LIMIT, self.reader.read_ping_ack(&PAYLOAD)).await.expect("the PING is acknowledged in time");
    }
}

/// Sends bytes. Returns false if the server has closed the connection, or accepts none for two
/// seconds.
async fn send(writer: &mut OwnedWriteHalf, bytes: &[u8]) -> bool {
    timeout(Duration::from_secs(2), writer.write_all(bytes)).await.is_ok_and(|sent| sent.is_ok())
}

/// Returns by how much `attack` raised the peak of the program's memory, and the result of
/// `attack`.
async fn peak_growth<T>(target: &Target, attack: impl Future<Output = T>) -> (usize, T) {
    let before = target.program.resident();
    let result = attack.await;
    (target.program.peak().saturating_sub(before), result)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_on_every_port_rejects_messages_of_4_mib() {
    let target = Target::start(&[]).await;
    let grpc = [RESULT, CHECK, WATCH, REFLECTION[0], REFLECTION[1], NO_METHOD].map(|path| (target.address(), path, 19));
    // A connection of the admin port may have four streams.
    let admin = [CHECK, WATCH].map(|path| (target.admin_address(), path, 4));
    for (address, path, streams) in grpc.into_iter().chain(admin) {
        // Announces a message of 4 MiB less one byte, and sends as much of it as the connection
        // takes.
        let attack = async {
            let mut attacker = Attacker::connect(address).await;
            attacker.open(streams, |_| raw::headers_to(path)).await;
            let head = [0, 0, 0x3f, 0xff, 0xff];
            for stream in 0..streams {
                attacker.send(&raw::frame(DATA, 0, stream * 2 + 1, &head)).await;
            }
            let mut rejected = 0;
            while rejected < streams {
                let frame = timeout(Duration::from_secs(5), attacker.reader.frame()).await;
                let frame =
                    frame.unwrap_or_else(|_| panic!("{path}: {rejected} rejected")).expect("the connection is open");
                rejected += u32::from(frame.kind == HEADERS && frame.flags & END_STREAM != 0);
            }
            let part = raw::frame(DATA, 0, 1, &[0; 16_000]);
            for _ in 0..100 {
                if !attacker.send(&part).await {
                    break;
                }
            }
        };
        let (height, ()) = peak_growth(&target, attack).await;
        println!("{path} of {address}: {} KiB", height >> 10);
        assert!(height < MAX_MEMORY, "{path}: {} MiB", height >> 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_header_fields_do_not_exhaust_memory() {
    let target = Target::start(&[]).await;
    for (address, path, streams) in [
        (target.address(), RESULT, STREAMS),
        (target.address(), CHECK, STREAMS),
        // A connection of the admin port may have four streams.
        (target.admin_address(), CHECK, 4),
    ] {
        let attack = async {
            let mut attackers = Vec::new();
            for _ in 0..12 {
                let mut attacker = Attacker::connect(address).await;
                attacker.open(streams, |number| raw::empty_fields(path, 440, number)).await;
                attackers.push(attacker);
            }
            for attacker in &mut attackers {
                attacker.settle().await;
            }
        };
        let (height, ()) = peak_growth(&target, attack).await;
        println!("440 empty fields to {path} of {address}: {} MiB", height >> 20);
        assert!(height < MAX_MEMORY, "{path}: {} MiB", height >> 20);
    }
    assert!(target.metric(r#"face_liveness_errors_total{reason="OVERLOADED"}"#).await >= 24_000);
}

/// Each connection opens its streams in one packet, so that all are read before the first is
/// served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_header_fields_take_at_most_140_kib_per_connection() {
    const CONNECTIONS: usize = 500;
    let target = Target::start(&[]).await;
    let burst = |number| raw::frame(HEADERS, END_HEADERS, number * 2 + 1, &raw::empty_fields(RESULT, 440, number));
    let burst: Vec<u8> = (0..20).flat_map(burst).collect();
    let attack = async {
        let mut attackers = Vec::new();
        for _ in 0..CONNECTIONS {
            attackers.push(Attacker::connect(target.address()).await);
        }
        for attacker in &mut attackers {
            attacker.send(&burst).await;
        }
        for attacker in &mut attackers {
            attacker.settle().await;
        }
    };
    let (height, ()) = peak_growth(&target, attack).await;
    println!("440 empty fields on {CONNECTIONS} connections: {} KiB each", (height >> 10) / CONNECTIONS);
    assert!(height < CONNECTIONS * (140 << 10), "{} KiB each", (height >> 10) / CONNECTIONS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_above_the_limit_are_rejected_after_their_headers() {
    let target = Target::start(&["--max-requests", "5"]).await;
    let attack = async {
        let mut attackers = Vec::new();
        for _ in 0..20 {
            let mut writer = Attacker::connect(target.address()).await.read_in_background();
            for number in 0..STREAMS {
                let block = raw::empty_fields(RESULT, 40, number);
                // Its connection is closed when it reads 4,000 rejections too slowly.
                if !send(&mut writer, &raw::frame(HEADERS, END_HEADERS, number * 2 + 1, &block)).await {
                    break;
                }
            }
            attackers.push(writer);
        }
        let rejected = async || target.metric(r#"face_liveness_errors_total{reason="OVERLOADED"}"#).await;
        within(REJECTION_LIMIT, "the other requests are rejected", async || rejected().await >= 4_000).await;
        attackers
    };
    let (height, _attackers) = peak_growth(&target, attack).await;
    println!("40,000 requests, 5 in flight: {} MiB", height >> 20);
    assert!(height < MAX_MEMORY, "{} MiB", height >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_a_message_is_rejected_after_ten_seconds() {
    let target = Target::start(&[]).await;
    let ports = [
        (target.address(), RESULT),
        (target.address(), CHECK),
        (target.address(), WATCH),
        (target.admin_address(), CHECK),
    ];
    let mut attackers = Vec::new();
    for (address, path) in ports {
        let mut attacker = Attacker::connect(address).await;
        attacker.open(1, |_| raw::headers_to(path)).await;
        // Only the first bytes of a message.
        attacker.send(&raw::frame(DATA, 0, 1, &[0, 0])).await;
        attackers.push((path, attacker));
    }
    let started = Instant::now();
    for (path, mut attacker) in attackers {
        let rejection = async {
            loop {
                let frame = attacker.reader.frame().await.expect("the connection is open");
                if frame.kind == HEADERS && frame.flags & END_STREAM != 0 {
                    break;
                }
            }
        };
        timeout(Duration::from_secs(13), rejection).await.unwrap_or_else(|_| panic!("{path} is still open"));
    }
    assert!(started.elapsed() > Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(target.in_flight().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_watches_and_reflection_have_their_own_limits() {
    let target = Target::start(&["--max-connections", "50"]).await;
    for (path, message, limit) in [(WATCH, raw::message(&[]), 50), (REFLECTION[0], Vec::new(), 100)] {
        let opened = Instant::now();
        let attack = async {
            let mut attackers = Vec::new();
            // Fewer than the limit of unread rejections, so that no connection is closed.
            for _ in 0..2 {
                let mut writer = Attacker::connect(target.address()).await.read_in_background();
                for number in 0..STREAMS - 100 {
                    let headers = raw::frame(HEADERS, END_HEADERS, number * 2 + 1, &raw::headers_to(path));
                    let data = match message.is_empty() {
                        true => Vec::new(),
                        false => raw::frame(DATA, END_STREAM, number * 2 + 1, &message),
                    };
                    assert!(send(&mut writer, &[headers, data].concat()).await);
                }
                attackers.push(writer);
            }
            attackers
        };
        let (height, attackers) = peak_growth(&target, attack).await;
        println!("3,800 streams to {path}: {} MiB", height >> 20);
        assert!(height < MAX_MEMORY, "{path}: {} MiB", height >> 20);
        let (service, method) = path[1..].split_once('/').expect("a service and a method");
        let kind = if path == WATCH { "server_stream" } else { "bidi_stream" };
        let labels = format!(r#"{{grpc_method="{method}",grpc_service="{service}",grpc_type="{kind}"}}"#);
        let handled = labels.replacen('{', r#"{grpc_code="ResourceExhausted","#, 1);
        let series = [format!("grpc_server_started_total{labels}"), format!("grpc_server_handled_total{handled}")];
        within(REJECTION_LIMIT, "the other requests are rejected", async || {
            let [started, rejected] = target.metrics([&series[0], &series[1]]).await;
            // On a slow machine, reflection streams time out after ten seconds, and others are
            // admitted.
            let most = limit * (1 + opened.elapsed().as_secs() / 10);
            started == 3_800 && (limit..=most).contains(&(started - rejected))
        })
        .await;
        drop(attackers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_responses_count_until_they_are_written() {
    let target = Target::start(&["--max-requests", "100"]).await;
    let call = raw::headers_to(RESULT);
    let attack = async {
        let mut attackers = Vec::new();
        for _ in 0..20 {
            let mut attacker = Attacker::connect(target.address()).await;
            // Malformed requests: their responses have no DATA, so no HTTP/2 window applies.
            for number in 0..50_000 {
                let frames = [
                    raw::frame(HEADERS, END_HEADERS, number * 2 + 1, &call),
                    raw::frame(DATA, END_STREAM, number * 2 + 1, &raw::message(b"\x0a\x0anot-a-uuid")),
                ];
                if !attacker.send(&frames.concat()).await {
                    break;
                }
            }
            attackers.push(attacker);
        }
        attackers
    };
    let (height, attackers) = peak_growth(&target, attack).await;
    println!("unread responses: {} MiB", height >> 20);
    assert!(height < MAX_MEMORY, "{} MiB", height >> 20);
    drop(attackers);
    eventually("no request is in flight", async || target.in_flight().await == 0).await;
}
