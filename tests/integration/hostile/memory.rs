//! Clients that attack the program's memory: large messages, many header fields, many streams,
//! and responses that they do not read.

use super::{
    raw::{self, DATA, END_HEADERS, END_STREAM, HEADERS, Reader},
    target::Target,
};
use crate::facade::{eventually, within};
use std::{net::SocketAddr, time::Duration};
use tokio::{io::AsyncWriteExt, net::tcp::OwnedWriteHalf, time::timeout};

const RESULT: &str = "/faceliveness.v1.FaceLivenessService/GetLivenessResult";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
const NO_METHOD: &str = "/faceliveness.v1.FaceLivenessService/None";

/// What an attack may add to the program's memory at its height. HTTP/2 keeps about 2 KiB for each
/// stream that a connection has had at once, so 24,000 streams take 48 MiB, and glibc keeps some
/// more.
const SMALL: usize = 96 << 20;

/// How long a debug build on a busy machine may take for 40,000 rejections.
const SLOW: Duration = Duration::from_secs(90);

/// Streams that a connection may have.
const STREAMS: u32 = 2_000;

/// One connection of an attacker. It reads responses only in `settle` and `read_on`.
pub struct Attacker {
    reader: Reader,
    writer: OwnedWriteHalf,
}

impl Attacker {
    /// Reads all responses from now on, as stock clients do, for as long as the other half is
    /// there.
    pub fn read_on(self) -> OwnedWriteHalf {
        let Self { mut reader, writer } = self;
        tokio::spawn(async move { while reader.frame().await.is_ok() {} });
        writer
    }
}

impl Attacker {
    pub async fn connect(address: SocketAddr) -> Self {
        let (reader, writer) = raw::connect_to(address, &[]).await;
        Self { reader, writer }
    }

    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        send(&mut self.writer, bytes).await
    }

    /// Opens this many streams with these header blocks.
    pub async fn open(&mut self, count: u32, flags: u8, block: impl Fn(u32) -> Vec<u8>) {
        for number in 0..count {
            if !self.send(&raw::frame(HEADERS, END_HEADERS | flags, number * 2 + 1, &block(number))).await {
                return;
            }
        }
    }

    /// Waits until the server has worked through all that was sent: a PING is answered in its turn.
    pub async fn settle(&mut self) {
        self.send(&raw::frame(raw::PING, 0, 0, &[7; 8])).await;
        let pong = async {
            while let Ok(frame) = self.reader.frame().await {
                if frame.kind == raw::PING && frame.flags == 1 && frame.payload == [7; 8] {
                    break;
                }
            }
        };
        timeout(Duration::from_secs(10), pong).await.ok();
    }
}

/// Sends bytes unless the other end takes none for a while: it may have stopped reading, or closed
/// the connection.
async fn send(writer: &mut OwnedWriteHalf, bytes: &[u8]) -> bool {
    timeout(Duration::from_secs(2), writer.write_all(bytes)).await.is_ok_and(|sent| sent.is_ok())
}

/// How much more memory than before the program had at the height of `attack`.
async fn height<T>(target: &Target, attack: impl Future<Output = T>) -> (usize, T) {
    let before = target.program.resident();
    let end = attack.await;
    (target.program.peak().saturating_sub(before), end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_4_mib_are_rejected_by_every_service_of_every_port() {
    let target = Target::start(&[]).await;
    let grpc = [RESULT, CHECK, WATCH, REFLECTION[0], REFLECTION[1], NO_METHOD].map(|path| (target.address(), path));
    let admin = [CHECK, WATCH].map(|path| (target.admin_address(), path));
    for (address, path) in grpc.into_iter().chain(admin) {
        // Announces a message of 4 MiB less one byte, and sends as much of it as the connection
        // takes.
        let attack = async {
            let mut attacker = Attacker::connect(address).await;
            attacker.open(19, 0, |_| raw::headers_to(path)).await;
            let head = [0, 0, 0x3f, 0xff, 0xff];
            for stream in 0..19 {
                attacker.send(&raw::frame(DATA, 0, stream * 2 + 1, &head)).await;
            }
            let mut rejected = 0;
            while rejected < 19 {
                let frame = timeout(Duration::from_secs(5), attacker.reader.frame()).await;
                let frame = frame.unwrap_or_else(|_| panic!("{path}: {rejected} rejected")).expect("it is open");
                rejected += u32::from(frame.kind == HEADERS && frame.flags & END_STREAM != 0);
            }
            let part = raw::frame(DATA, 0, 1, &[0; 16_000]);
            for _ in 0..100 {
                if !attacker.send(&part).await {
                    break;
                }
            }
        };
        let (height, ()) = height(&target, attack).await;
        println!("{path} of {address}: {} KiB", height >> 10);
        assert!(height < SMALL, "{path}: {} MiB", height >> 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_header_fields_take_no_memory() {
    let target = Target::start(&[]).await;
    for (address, path) in [(target.address(), RESULT), (target.address(), CHECK), (target.admin_address(), CHECK)] {
        let attack = async {
            let mut attackers = Vec::new();
            for _ in 0..12 {
                let mut attacker = Attacker::connect(address).await;
                attacker.open(STREAMS, 0, |number| raw::empty_fields(path, 440, number)).await;
                attackers.push(attacker);
            }
            for attacker in &mut attackers {
                attacker.settle().await;
            }
        };
        let (height, ()) = height(&target, attack).await;
        println!("440 empty fields to {path} of {address}: {} MiB", height >> 20);
        assert!(height < SMALL, "{path}: {} MiB", height >> 20);
    }
    assert!(target.metric(r#"face_liveness_errors_total{reason="OVERLOADED"}"#).await >= 24_000);
}

/// Each connection opens its streams in one packet, so that all are read before the first is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_header_fields_on_many_connections_take_what_their_connections_may_take() {
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
    let (height, ()) = height(&target, attack).await;
    println!("440 empty fields on {CONNECTIONS} connections: {} KiB each", (height >> 10) / CONNECTIONS);
    assert!(height < CONNECTIONS * (140 << 10), "{} KiB each", (height >> 10) / CONNECTIONS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_above_the_limit_are_rejected_by_their_headers() {
    let target = Target::start(&["--max-requests", "5"]).await;
    let attack = async {
        let mut attackers = Vec::new();
        for _ in 0..20 {
            let mut writer = Attacker::connect(target.address()).await.read_on();
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
        within(SLOW, "the others are rejected", async || rejected().await >= 4_000).await;
        attackers
    };
    let (height, _attackers) = height(&target, attack).await;
    println!("40,000 requests, 5 in flight: {} MiB", height >> 20);
    assert!(height < SMALL, "{} MiB", height >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_does_not_arrive_ends_its_stream_after_ten_seconds() {
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
        attacker.open(1, 0, |_| raw::headers_to(path)).await;
        // The first bytes of a message, and no more.
        attacker.send(&raw::frame(DATA, 0, 1, &[0, 0])).await;
        attackers.push((path, attacker));
    }
    let started = std::time::Instant::now();
    for (path, mut attacker) in attackers {
        let ended = async {
            loop {
                let frame = attacker.reader.frame().await.expect("it is open");
                if frame.kind == HEADERS && frame.flags & END_STREAM != 0 {
                    break;
                }
            }
        };
        timeout(Duration::from_secs(13), ended).await.unwrap_or_else(|_| panic!("{path} is still open"));
    }
    assert!(started.elapsed() > Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(target.in_flight().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_and_reflection_have_limits_of_their_own() {
    let target = Target::start(&["--max-connections", "50"]).await;
    for (path, message, limit) in [(WATCH, raw::message(&[]), 50), (REFLECTION[0], Vec::new(), 100)] {
        let attack = async {
            let mut attackers = Vec::new();
            // Fewer than the rejections that may be unread, so that no connection is closed.
            for _ in 0..2 {
                let mut writer = Attacker::connect(target.address()).await.read_on();
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
        let (height, attackers) = height(&target, attack).await;
        println!("3,800 streams to {path}: {} MiB", height >> 20);
        assert!(height < SMALL, "{path}: {} MiB", height >> 20);
        let (service, method) = path[1..].split_once('/').expect("a service and a method");
        let kind = if path == WATCH { "server_stream" } else { "bidi_stream" };
        let labels = format!(r#"{{grpc_method="{method}",grpc_service="{service}",grpc_type="{kind}"}}"#);
        let handled = labels.replacen('{', r#"{grpc_code="ResourceExhausted","#, 1);
        let series = [format!("grpc_server_started_total{labels}"), format!("grpc_server_handled_total{handled}")];
        within(SLOW, "the others are rejected", async || {
            let [started, rejected] = target.metrics([&series[0], &series[1]]).await;
            started == 3_800 && started - rejected == limit
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
            // Malformed requests, whose responses have no bytes that HTTP/2's windows would hold
            // back.
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
    let (height, attackers) = height(&target, attack).await;
    println!("unread responses: {} MiB", height >> 20);
    assert!(height < SMALL, "{} MiB", height >> 20);
    drop(attackers);
    eventually("all permits are back", async || target.in_flight().await == 0).await;
}
