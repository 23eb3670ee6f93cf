//! Headers that are too many, too large, or without end.

use super::{
    raw::{self, CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS},
    target::Target,
};
use crate::facade::{id, reason, request};
use tokio::io::AsyncWriteExt;
use tonic::{Code, Request, Status, metadata::MetadataKey};
use tonic_types::StatusExt;

/// What a call with `count` headers of `size` bytes each is answered.
async fn answer(target: &Target, count: usize, size: usize) -> Status {
    let mut request = Request::new(request(&id(1)));
    for number in 0..count {
        let key: MetadataKey<_> = format!("x-{number}").parse().expect("a name of a header");
        request.metadata_mut().insert(key, "a".repeat(size).parse().expect("a value"));
    }
    target.client().await.get_liveness_result(request).await.expect_err("too large")
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused_as_such() {
    let target = Target::start(&[]).await;
    let attack = async {
        for (count, size) in [(1, 20 * 1024), (20, 1024), (500, 1)] {
            let status = answer(&target, count, size).await;
            assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
            assert!(status.get_error_details().retry_info().is_none(), "they are as large the next time");
        }
    };
    target.withstands("20 KiB of headers", attack).await;
}

/// gRPC has no code for it: h2 refuses before this program sees the call, with HTTP's 431, which a
/// client makes a code of its own of.
#[tokio::test]
async fn headers_beyond_that_are_refused_by_http2() {
    let target = Target::start(&[]).await;
    let attack = async {
        for (count, size) in [(1, 100 * 1024), (100, 1024), (3_000, 1)] {
            let status = answer(&target, count, size).await;
            assert_eq!(status.code(), Code::Unknown, "{status:?}");
            assert!(status.message().contains("431"), "{status:?}");
        }
    };
    target.withstands("100 KiB of headers", attack).await;
}

#[tokio::test]
async fn headers_without_end_end_the_connection() {
    let target = Target::start(&[]).await;
    let endless = raw::frame(CONTINUATION, 0, 1, &raw::header("x", &"a".repeat(100)).repeat(100));
    let empty = raw::frame(CONTINUATION, 0, 1, &[]);
    let attack = async {
        for more in [endless, empty] {
            let (mut reader, mut writer) = raw::connect(&target, &[]).await;
            let begin = raw::frame(HEADERS, END_STREAM, 1, &raw::call_headers());
            writer.write_all(&begin).await.expect("it is open");
            let more = more.repeat(10);
            let flood = async { while writer.write_all(&more).await.is_ok() {} };
            tokio::join!(reader.ends_with(ENHANCE_YOUR_CALM), flood);
        }
    };
    target.withstands("CONTINUATION without end", attack).await;
}

/// A header in HPACK's table is a byte on the wire and four thousand in a list of headers.
#[tokio::test]
async fn headers_that_grow_when_they_are_read_end_the_connection() {
    let target = Target::start(&[]).await;
    let value = "a".repeat(3_900);
    // Literal with indexing, a value of 3,900 bytes (127 and the rest in seven bits each), then the
    // newest entry of the table.
    let rest = value.len() - 127;
    let length = [127, (rest & 127) as u8 | 128, (rest >> 7) as u8];
    let stored = [&[0x40, 1, b'x'][..], &length, value.as_bytes()].concat();
    let bomb = [raw::call_headers(), stored, vec![0xbe; 8_000]].concat();
    let attack = async {
        let (mut reader, mut writer) = raw::connect(&target, &[]).await;
        writer.write_all(&raw::frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)).await.expect("it is open");
        reader.ends_with(ENHANCE_YOUR_CALM).await;
    };
    target.withstands("headers that grow", attack).await;
}
