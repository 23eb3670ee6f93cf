//! Connections that do not speak HTTP/2, and connections that stall.

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

/// Connections of each kind.
const EACH: u64 = 100;

/// The start of a TLS 1.2 record with a ClientHello.
const TLS_HELLO: &[u8] = &[0x16, 0x03, 0x01, 0x00, 0xc8, 0x01, 0x00, 0x00, 0xc4, 0x03, 0x03];

#[tokio::test]
async fn clients_of_other_protocols_are_disconnected_immediately() {
    let target = Target::start(&[]).await;
    let http1 = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let garbage = [0xa5; 64 * 1024];
    let inputs = [&http1[..], TLS_HELLO, &garbage, b"PRI * HTTP/1.1\r\n\r\n", &[0]];
    let attack = async {
        let mut closed = JoinSet::new();
        for number in 0..EACH as usize * inputs.len() {
            let (mut stream, bytes) = (target.tcp().await, inputs[number % inputs.len()].to_vec());
            closed.spawn(async move {
                // The server may close the connection before it has read everything.
                stream.write_all(&bytes).await.ok();
                let mut response = Vec::new();
                timeout(Duration::from_secs(5), stream.read_to_end(&mut response))
                    .await
                    .expect("the server closes the connection")
                    .ok();
                assert_eq!(response, b"", "the server sends nothing");
            });
        }
        closed.join_all().await;
    };
    target.withstands("garbage, HTTP/1, TLS", attack).await;
    let series = r#"face_liveness_connections_closed_total{reason="handshake"}"#;
    assert_eq!(target.metric(series).await, EACH * inputs.len() as u64);
}

#[tokio::test]
async fn stalled_connections_do_not_delay_other_callers() {
    let target = Target::start(&[]).await;
    let preface = [PREFACE, &raw::frame(SETTINGS, 0, 0, &[])].concat();
    let frame = raw::frame(HEADERS, 0, 1, &raw::call_headers());
    let half_a_frame = [&preface[..], &frame[..frame.len() / 2]].concat();
    let incomplete_headers = [&preface[..], &frame].concat();
    let incomplete_call =
        [&preface[..], &raw::frame(HEADERS, raw::END_HEADERS, 1, &raw::call_headers()), &[0, 0]].concat();
    let inputs = [&b""[..], &PREFACE[..7], PREFACE, &half_a_frame, &incomplete_headers, &incomplete_call];
    let attack = async {
        let mut stalled = Vec::new();
        for number in 0..EACH as usize * inputs.len() {
            let mut stream = target.tcp().await;
            stream.write_all(inputs[number % inputs.len()]).await.expect("the connection is open");
            stalled.push(stream);
        }
        let all = stalled.len() as u64;
        eventually("all connections and the one of the other caller are open", async || {
            target.connections().await == all + 1
        })
        .await;
    };
    target.withstands("600 stalled connections", attack).await;
}
