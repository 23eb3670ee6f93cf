//! Messages that are too large or malformed.

use super::{
    raw::{self, END_STREAM, HEADERS, Reader},
    target::Target,
};
use crate::facade::reason;
use tokio::{io::AsyncWriteExt, net::tcp::OwnedWriteHalf, task::JoinSet};
use tonic::{
    Code, Status,
    codegen::{Bytes, http::Request},
};
use tonic_types::StatusExt;

const MALFORMED: u32 = 100_000;
const CONNECTIONS: u32 = 4;
/// Concurrent streams: below the limit of a connection.
const CONCURRENT: u32 = 500;

/// Sends this body in one piece, and returns the error.
async fn send_body(target: &Target, body: Vec<u8>) -> Status {
    let (mut client, connection) = h2::client::handshake(target.tcp().await).await.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let request = Request::post("http://localhost/faceliveness.v1.FaceLivenessService/GetLivenessResult");
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let (response, mut stream) =
        client.send_request(request.body(()).expect("a valid request"), false).expect("the connection is open");
    stream.send_data(Bytes::from(body), true).expect("the stream is open");
    let response = response.await.expect("a response");
    let status = Status::from_header_map(response.headers()).expect("only a status");
    connection.abort();
    status
}

#[tokio::test]
async fn messages_above_the_limit_are_rejected_with_overloaded() {
    let target = Target::start(&[]).await;
    let attack = async {
        for size in [5 * 1024, 5 * 1024 * 1024] {
            let mut client = target.client().await;
            let request = crate::facade::request(&"a".repeat(size));
            assert_too_large(&client.get_liveness_result(request).await.expect_err("too large"));
            assert_too_large(&send_body(&target, raw::message(&vec![0; size])).await);
        }
        assert_too_large(&send_body(&target, [&[0, 255, 255, 255, 255][..], b"little"].concat()).await);
    };
    target.withstands("messages of 5 KiB, 5 MiB, 4 GiB", attack).await;
}

fn assert_too_large(status: &Status) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::ResourceExhausted, "OVERLOADED"), "{status:?}");
    assert!(status.get_error_details().retry_info().is_none(), "a retry would have the same size");
}

#[tokio::test]
async fn malformed_messages_are_rejected_with_invalid_request() {
    let target = Target::start(&[]).await;
    let valid = raw::request_message(1);
    let compressed = [&[1], &valid[1..]].concat();
    let unknown_flag = [&[7], &valid[1..]].concat();
    let half = valid[..valid.len() / 2].to_vec();
    let attack = async {
        for (what, body) in [
            ("compressed", compressed),
            ("an unknown flag", unknown_flag),
            ("half a message", half),
            ("half a prefix", vec![0, 0]),
            ("no message", Vec::new()),
            ("not protobuf", raw::message(&[0xff; 40])),
            ("a length beyond the message", raw::message(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])),
            ("an empty message", raw::message(&[])),
            ("text that is not UTF-8", raw::message(&[0x0a, 0x02, 0xc3, 0x28])),
        ] {
            let status = send_body(&target, body).await;
            let actual = (status.code(), reason(&status));
            assert_eq!(actual, (Code::InvalidArgument, "INVALID_REQUEST".to_owned()), "{what}: {status:?}");
        }
    };
    target.withstands("malformed messages", attack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_malformed_requests_are_each_rejected_and_counted() {
    let target = Target::start(&[]).await;
    let attack = async {
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (reader, writer) = raw::connect(&target, &[]).await;
            connections.spawn(flood(reader, writer, MALFORMED / CONNECTIONS));
        }
        connections.join_all().await;
    };
    target.withstands("100,000 malformed requests", attack).await;
    let series = r#"face_liveness_errors_total{reason="INVALID_REQUEST"}"#;
    assert_eq!(target.metric(series).await, u64::from(MALFORMED));
}

/// Sends this many malformed requests, and reads as many rejections.
async fn flood(mut reader: Reader, mut writer: OwnedWriteHalf, count: u32) {
    let bad = [
        raw::message(&[0xff; 40]),
        raw::message(b"\x0a\x0anot-a-uuid"),
        raw::message(&[]),
        raw::message(b"\x0a\x240123ABCD-0000-4000-8000-000000000001"),
    ];
    let (mut sent, mut rejected) = (0, 0);
    while rejected < count {
        let mut bytes = Vec::new();
        while sent < count && sent - rejected < CONCURRENT {
            bytes.extend(raw::call(sent * 2 + 1, &bad[sent as usize % bad.len()]));
            sent += 1;
        }
        writer.write_all(&bytes).await.expect("the connection is open");
        let frame = reader.frame().await.expect("the connection is open");
        assert_eq!(frame.goaway_code(), None);
        // A response without a message has only headers.
        if frame.kind == HEADERS {
            assert_eq!(frame.flags & END_STREAM, END_STREAM);
            rejected += 1;
        }
    }
}
