//! Headers that are too many, too large or endless.

use super::{
    raw::{self, CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS},
    target::Target,
};
use crate::facade::{id, reason, request};
use tokio::io::AsyncWriteExt;
use tonic::{Code, Request, Status, metadata::MetadataKey};
use tonic_types::StatusExt;

/// Returns the error of a call with `count` headers of `size` bytes each.
async fn call_with_headers(target: &Target, count: usize, size: usize) -> Status {
    let mut request = Request::new(request(&id(1)));
    for number in 0..count {
        let key: MetadataKey<_> = format!("x-{number}").parse().expect("a header name");
        request.metadata_mut().insert(key, "a".repeat(size).parse().expect("a header value"));
    }
    target.client().await.get_liveness_result(request).await.expect_err("too large")
}

#[tokio::test]
async fn headers_above_16_kib_are_rejected_with_overloaded() {
    let target = Target::start(&[]).await;
    let attack = async {
        for (count, size) in [(1, 20 * 1024), (20, 1024), (500, 1)] {
            let status = call_with_headers(&target, count, size).await;
            assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
            assert!(status.get_error_details().retry_info().is_none(), "a retry would have the same headers");
        }
    };
    target.withstands("20 KiB of headers", attack).await;
}

/// h2 rejects these calls with the HTTP status 431, before the program sees them. Clients map that to
/// their own code.
#[tokio::test]
async fn headers_above_the_http2_limit_are_rejected_with_431() {
    let target = Target::start(&[]).await;
    let attack = async {
        for (count, size) in [(1, 100 * 1024), (100, 1024), (3_000, 1)] {
            let status = call_with_headers(&target, count, size).await;
            assert_eq!(status.code(), Code::Unknown, "{status:?}");
            assert!(status.message().contains("431"), "{status:?}");
        }
    };
    target.withstands("100 KiB of headers", attack).await;
}

#[tokio::test]
async fn endless_continuation_frames_close_the_connection() {
    let target = Target::start(&[]).await;
    let endless = raw::frame(CONTINUATION, 0, 1, &raw::header("x", &"a".repeat(100)).repeat(100));
    let empty = raw::frame(CONTINUATION, 0, 1, &[]);
    let attack = async {
        for more in [endless, empty] {
            let (mut reader, mut writer) = raw::connect(&target, &[]).await;
            let start = raw::frame(HEADERS, END_STREAM, 1, &raw::call_headers());
            writer.write_all(&start).await.expect("the connection is open");
            let more = more.repeat(10);
            let flood = async { while writer.write_all(&more).await.is_ok() {} };
            tokio::join!(reader.assert_closed_with(ENHANCE_YOUR_CALM), flood);
        }
    };
    target.withstands("endless CONTINUATION frames", attack).await;
}

/// An indexed HPACK header takes one byte on the wire, and counts 3,933 bytes in the header list.
#[tokio::test]
async fn an_hpack_bomb_closes_the_connection() {
    let target = Target::start(&[]).await;
    let value = "a".repeat(3_900);
    // A literal with indexing and a value of 3,900 bytes (127, and the rest in groups of seven bits),
    // then 8,000 references to it.
    let rest = value.len() - 127;
    let length = [127, (rest & 127) as u8 | 128, (rest >> 7) as u8];
    let stored = [&[0x40, 1, b'x'][..], &length, value.as_bytes()].concat();
    let bomb = [raw::call_headers(), stored, vec![0xbe; 8_000]].concat();
    let attack = async {
        let (mut reader, mut writer) = raw::connect(&target, &[]).await;
        writer
            .write_all(&raw::frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb))
            .await
            .expect("the connection is open");
        reader.assert_closed_with(ENHANCE_YOUR_CALM).await;
    };
    target.withstands("an HPACK bomb", attack).await;
}
