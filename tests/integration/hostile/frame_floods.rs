//! Floods of frames that open no streams.

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

/// The duration of a flood: some hundred thousand frames.
const FLOOD_DURATION: Duration = Duration::from_millis(300);

/// How long a debug build on a busy machine may take to process a flood.
const PROCESSING_LIMIT: Duration = Duration::from_secs(60);

/// The most memory that a flood may take; measured: 0.2 MiB. If the server buffered the
/// acknowledgments of a client that does not read, 200,000 of them would take more than this.
const MAX_MEMORY: usize = 3 << 20;

/// The payload of the PING after a flood.
const LAST_PING: [u8; 8] = *b"the last";

/// Sends the headers of a call, then a flood of this frame. Reads what the server sends meanwhile, or
/// only afterwards. Returns the numbers of frames sent and acknowledged.
async fn send_flood(target: &Target, flood: &[u8], reads: bool, what: &str) -> (usize, usize) {
    let (mut reader, mut writer) = connect(target).await;
    let many = flood.repeat(100);
    let (finished_sender, finished) = watch::channel(false);
    let write = async {
        let mut sent = 0;
        let until = Instant::now() + FLOOD_DURATION;
        // Not `write_all`: after a timeout, it does not report how much it has written.
        while let Ok(written) = timeout_at(until, writer.write(&many[sent % many.len()..])).await {
            sent += written.unwrap_or_else(|error| panic!("{what}: the server closes the connection: {error}"));
        }
        finished_sender.send_replace(true);
        // The rest of a frame that is only partly written.
        let rest = &flood[sent % flood.len()..];
        let rest = if rest.len() == flood.len() { &[] } else { rest };
        let last = [rest, &raw::frame(PING, 0, 0, &LAST_PING)].concat();
        writer.write_all(&last).await.expect("the server keeps the connection open");
        sent.div_ceil(flood.len())
    };
    let read = async {
        let mut finished = finished;
        if !reads {
            finished.wait_for(|finished| *finished).await.expect("the sender is not dropped before it sends");
        }
        let mut acknowledged = 0;
        loop {
            let frame = reader.frame().await;
            let frame = frame.unwrap_or_else(|error| panic!("{what}: the server closes the connection: {error}"));
            match (frame.kind, frame.flags & ACK) {
                (PING, ACK) if frame.payload == LAST_PING => return acknowledged,
                (PING | SETTINGS, ACK) => acknowledged += 1,
                (GOAWAY, _) => panic!("{what}: the server closes the connection: {frame:?}"),
                _ => {}
            }
        }
    };
    let both = timeout(PROCESSING_LIMIT, async { tokio::join!(write, read) }).await;
    both.unwrap_or_else(|_| panic!("{what}: the last PING is not acknowledged"))
}

/// Opens a connection, and a call whose message is not yet sent.
async fn connect(target: &Target) -> (Reader, OwnedWriteHalf) {
    let (reader, mut writer) = raw::connect(target, &[]).await;
    let call = raw::frame(HEADERS, END_HEADERS, 1, &raw::call_headers());
    writer.write_all(&call).await.expect("the connection is open");
    (reader, writer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_control_frames_does_not_delay_other_callers() {
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
            let (sent, acknowledged) = target.withstands(&what, send_flood(&target, &flood, reads, &what)).await;
            let added = target.program.peak().saturating_sub(before);
            println!("{what}: {sent} sent, {acknowledged} acknowledged, {} KiB more memory", added >> 10);
            assert!(sent > 1_000, "{what}: {sent} sent");
            // The SETTINGS of the handshake are acknowledged too.
            let expected = if is_acknowledged { sent + 1 } else { 1 };
            assert_eq!(acknowledged, expected, "{what}: {sent} sent");
            assert!(added < MAX_MEMORY, "{what}: {added} bytes more memory");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_abusive_frames_close_the_connection() {
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
            tokio::join!(reader.assert_closed_with(code), write);
        };
        target.withstands(&format!("frames of {what}"), attack).await;
    }
}
