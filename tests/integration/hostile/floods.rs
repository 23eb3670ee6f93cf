//! Frames that ask for nothing, as fast as they go.

use super::{
    raw::{
        self, ACK, DATA, END_HEADERS, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, GOAWAY, HEADERS, PING, PRIORITY, Reader,
        SETTINGS, WINDOW_UPDATE,
    },
    target::Target,
};
use std::time::Duration;
use tokio::{
    io::AsyncWriteExt,
    net::tcp::OwnedWriteHalf,
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

/// How long each lasts: some hundred thousand frames.
const LASTS: Duration = Duration::from_millis(300);

/// How long a debug build on a busy machine may take to work through what it was sent.
const SOON: Duration = Duration::from_secs(60);

/// The memory that a flood may take at its height; measured: 0.2 MiB. If the server buffered the
/// acknowledgments of a client that does not read, 200,000 of them would take more than this.
const SMALL: usize = 3 << 20;

/// The payload of the PING that is sent after a flood.
const LAST: [u8; 8] = *b"the last";

/// Sends a frame again and again after the headers of a call, and reads what the server sends
/// meanwhile, or only afterwards. Returns how many frames were sent and how many acknowledged.
async fn send(target: &Target, flood: &[u8], reads: bool, what: &str) -> (usize, usize) {
    let (mut reader, mut writer) = connect(target).await;
    let many = flood.repeat(100);
    let (ended, end) = watch::channel(false);
    let write = async {
        let mut sent = 0;
        let until = Instant::now() + LASTS;
        // Not `write_all`: when the time is over, it does not say how much it has written.
        while let Ok(written) = timeout_at(until, writer.write(&many[sent % many.len()..])).await {
            sent += written.unwrap_or_else(|error| panic!("{what}: the server ends the connection: {error}"));
        }
        ended.send_replace(true);
        // The rest of the frame that was under way.
        let rest = &flood[sent % flood.len()..];
        let rest = if rest.len() == flood.len() { &[] } else { rest };
        let last = [rest, &raw::frame(PING, 0, 0, &LAST)].concat();
        writer.write_all(&last).await.expect("the server does not end the connection");
        sent.div_ceil(flood.len())
    };
    let read = async {
        let mut end = end;
        if !reads {
            end.wait_for(|ended| *ended).await.expect("it is sent before it is dropped");
        }
        let mut acknowledged = 0;
        loop {
            let frame = reader.frame().await;
            let frame = frame.unwrap_or_else(|error| panic!("{what}: the server ends the connection: {error}"));
            match (frame.kind, frame.flags & ACK) {
                (PING, ACK) if frame.payload == LAST => return acknowledged,
                (PING | SETTINGS, ACK) => acknowledged += 1,
                (GOAWAY, _) => panic!("{what}: the server ends the connection: {frame:?}"),
                _ => {}
            }
        }
    };
    let both = timeout(SOON, async { tokio::join!(write, read) }).await;
    both.unwrap_or_else(|_| panic!("{what}: the last PING is never acknowledged"))
}

/// A connection with a call whose message is still to come.
async fn connect(target: &Target) -> (Reader, OwnedWriteHalf) {
    let (reader, mut writer) = raw::connect(target, &[]).await;
    let call = raw::frame(HEADERS, END_HEADERS, 1, &raw::call_headers());
    writer.write_all(&call).await.expect("it is open");
    (reader, writer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_frames_without_calls_delays_no_caller_whether_it_reads_or_not() {
    let target = Target::start(&[]).await;
    for (what, flood, is_acknowledged) in [
        ("PING", raw::frame(PING, 0, 0, &[0; 8]), true),
        ("SETTINGS", raw::frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]), true),
        ("PRIORITY", raw::frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 7]), false),
        ("an unknown type", raw::frame(0xaa, 0, 0, &[0; 8]), false),
    ] {
        for reads in [true, false] {
            let what = format!("frames of {what}, reads: {reads}");
            let before = target.program.resident();
            let (sent, acknowledged) = target.withstands(&what, send(&target, &flood, reads, &what)).await;
            let added = target.program.peak().saturating_sub(before);
            println!("{what}: {sent} sent, {acknowledged} acknowledged, {} KiB at the height", added >> 10);
            assert!(sent > 1_000, "{what}: {sent} sent");
            // The SETTINGS of the connection's start, too.
            let expected = if is_acknowledged { sent + 1 } else { 1 };
            assert_eq!(acknowledged, expected, "{what}: {sent} sent");
            assert!(added < SMALL, "{what}: {added} bytes at the height");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_no_honest_caller_sends_end_the_connection() {
    let target = Target::start(&[]).await;
    for (what, flood, code) in [
        ("empty DATA", raw::frame(DATA, 0, 1, &[]), ENHANCE_YOUR_CALM),
        // A window has 2^31 bytes at most.
        ("WINDOW_UPDATE", raw::frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes()), FLOW_CONTROL_ERROR),
    ] {
        let attack = async {
            let (mut reader, mut writer) = connect(&target).await;
            let many = flood.repeat(100);
            let write = async { while writer.write_all(&many).await.is_ok() {} };
            tokio::join!(reader.ends_with(code), write);
        };
        target.withstands(&format!("frames of {what}"), attack).await;
    }
}
