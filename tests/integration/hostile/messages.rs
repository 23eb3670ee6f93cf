//! Messages that are too large, or none at all.

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
/// Fewer than a connection may have at once.
const AT_ONCE: u32 = 500;

/// Sends a body in one piece, whatever it is, and tells what it is answered.
async fn answer(target: &Target, body: Vec<u8>) -> Status {
    let (mut client, connection) = h2::client::handshake(target.tcp().await).await.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let request = Request::post("http://localhost/faceliveness.v1.FaceLivenessService/GetLivenessResult");
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let (response, mut stream) =
        client.send_request(request.body(()).expect("it is sound"), false).expect("the connection is open");
    stream.send_data(Bytes::from(body), true).expect("the stream is open");
    let response = response.await.expect("an answer");
    let status = Status::from_header_map(response.headers()).expect("no answer but a status");
    connection.abort();
    status
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_as_such_whatever_its_size() {
    let target = Target::start(&[]).await;
    let attack = async {
        for size in [5 * 1024, 5 * 1024 * 1024] {
            let mut client = target.client().await;
            let request = crate::facade::request(&"a".repeat(size));
            refused_as_too_large(&client.get_liveness_result(request).await.expect_err("too large"));
            refused_as_too_large(&answer(&target, raw::message(&vec![0; size])).await);
        }
        refused_as_too_large(&answer(&target, [&[0, 255, 255, 255, 255][..], b"little"].concat()).await);
    };
    target.withstands("messages of 5 KiB, 5 MiB, 4 GiB", attack).await;
}

fn refused_as_too_large(status: &Status) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::ResourceExhausted, "OVERLOADED"), "{status:?}");
    assert!(status.get_error_details().retry_info().is_none(), "it is as large the next time");
}

#[tokio::test]
async fn what_is_no_message_is_refused_as_malformed() {
    let target = Target::start(&[]).await;
    let sound = raw::asking(1);
    let compressed = [&[1], &sound[1..]].concat();
    let unknown_flag = [&[7], &sound[1..]].concat();
    let half = sound[..sound.len() / 2].to_vec();
    let attack = async {
        for (what, body) in [
            ("compressed", compressed),
            ("a flag that is none", unknown_flag),
            ("half a message", half),
            ("half a prefix", vec![0, 0]),
            ("no message", Vec::new()),
            ("no protobuf", raw::message(&[0xff; 40])),
            ("a length that goes beyond", raw::message(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])),
            ("an empty message", raw::message(&[])),
            ("text that is no UTF-8", raw::message(&[0x0a, 0x02, 0xc3, 0x28])),
        ] {
            let status = answer(&target, body).await;
            let told = (status.code(), reason(&status));
            assert_eq!(told, (Code::InvalidArgument, "INVALID_REQUEST".to_owned()), "{what}: {status:?}");
        }
    };
    target.withstands("what is no message", attack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_malformed_requests_are_refused_one_by_one_and_told_of_by_the_second() {
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

/// Sends so many, and reads as many refusals.
async fn flood(mut reader: Reader, mut writer: OwnedWriteHalf, count: u32) {
    let bad = [
        raw::message(&[0xff; 40]),
        raw::message(b"\x0a\x0anot-a-uuid"),
        raw::message(&[]),
        raw::message(b"\x0a\x240123ABCD-0000-4000-8000-000000000001"),
    ];
    let (mut sent, mut refused) = (0, 0);
    while refused < count {
        let mut bytes = Vec::new();
        while sent < count && sent - refused < AT_ONCE {
            bytes.extend(raw::call(sent * 2 + 1, &bad[sent as usize % bad.len()]));
            sent += 1;
        }
        writer.write_all(&bytes).await.expect("it is open");
        let frame = reader.frame().await.expect("it is open");
        assert_eq!(frame.goaway_code(), None);
        // An answer without a message is its headers alone.
        if frame.kind == HEADERS {
            assert_eq!(frame.flags & END_STREAM, END_STREAM);
            refused += 1;
        }
    }
}
