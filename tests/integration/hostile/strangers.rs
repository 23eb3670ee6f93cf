//! Those who do not speak HTTP/2, and those who stop speaking it.

use super::{
    raw::{self, HEADERS, PREFACE, SETTINGS},
    target::Target,
};
use crate::facade::eventually;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::timeout,
};

const EACH: u64 = 100;

/// The beginning of a TLS 1.2 record with a ClientHello in it.
const TLS_HELLO: &[u8] = &[0x16, 0x03, 0x01, 0x00, 0xc8, 0x01, 0x00, 0x00, 0xc4, 0x03, 0x03];

#[tokio::test]
async fn who_speaks_something_else_is_closed_at_once() {
    let target = Target::start(&[]).await;
    let http1 = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let garbage = [0xa5; 64 * 1024];
    let strangers = [&http1[..], TLS_HELLO, &garbage, b"PRI * HTTP/1.1\r\n\r\n", &[0]];
    let attack = async {
        let mut closed = JoinSet::new();
        for number in 0..EACH as usize * strangers.len() {
            let (mut stream, bytes) = (target.tcp().await, strangers[number % strangers.len()].to_vec());
            closed.spawn(async move {
                // It may be closed before it has taken all.
                stream.write_all(&bytes).await.ok();
                let mut answer = Vec::new();
                timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("it is closed").ok();
                assert_eq!(answer, b"", "not a byte is wasted on it");
            });
        }
        closed.join_all().await;
    };
    target.withstands("garbage, HTTP/1, TLS", attack).await;
    let series = r#"face_liveness_connections_closed_total{reason="handshake"}"#;
    assert_eq!(target.metric(series).await, EACH * strangers.len() as u64);
}

#[tokio::test]
async fn who_falls_silent_costs_others_nothing() {
    let target = Target::start(&[]).await;
    let greeting = [PREFACE, &raw::frame(SETTINGS, 0, 0, &[])].concat();
    let frame = raw::frame(HEADERS, 0, 1, &raw::call_headers());
    let half_a_frame = [&greeting[..], &frame[..frame.len() / 2]].concat();
    let unfinished_headers = [&greeting[..], &frame].concat();
    let unfinished_call =
        [&greeting[..], &raw::frame(HEADERS, raw::END_HEADERS, 1, &raw::call_headers()), &[0, 0]].concat();
    let beginnings = [&b""[..], &PREFACE[..7], PREFACE, &half_a_frame, &unfinished_headers, &unfinished_call];
    let attack = async {
        let mut silent = Vec::new();
        for number in 0..EACH as usize * beginnings.len() {
            let mut stream = target.tcp().await;
            stream.write_all(beginnings[number % beginnings.len()]).await.expect("it is open");
            silent.push(stream);
        }
        let all = silent.len() as u64;
        eventually("all are open, and the one of others", async || target.connections().await == all + 1).await;
    };
    target.withstands("600 that fall silent", attack).await;
}
