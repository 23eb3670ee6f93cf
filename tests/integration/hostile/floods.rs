//! Frames that ask for nothing, as fast as they go.

use super::{
    raw::{
        self, DATA, END_HEADERS, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, HEADERS, PING, PRIORITY, Reader, SETTINGS,
        WINDOW_UPDATE,
    },
    target::Target,
};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::tcp::OwnedWriteHalf, time::timeout};

/// How long each lasts: some hundred thousand frames.
const LASTS: Duration = Duration::from_millis(300);

/// Sends the frames of `flood` again and again after the headers of a call, and reads what is answered, or does not.
async fn send(target: &Target, flood: &[u8], reads: bool) {
    let (mut reader, mut writer) = connect(target).await;
    let (many, mut frames) = (flood.repeat(100), 0);
    let write = timeout(LASTS, async {
        while writer.write_all(&many).await.is_ok() {
            frames += 100;
        }
    });
    let read = async {
        match reads {
            true => timeout(LASTS, reader.end()).await.ok(),
            false => None,
        }
    };
    let (_, end) = tokio::join!(write, read);
    assert!(end.is_none(), "it goes on: {end:?}");
    println!("{frames} frames");
}

/// A connection with a call whose message is still to come.
async fn connect(target: &Target) -> (Reader, OwnedWriteHalf) {
    let (reader, mut writer) = raw::connect(target, &[]).await;
    let call = raw::frame(HEADERS, END_HEADERS, 1, &raw::call_headers());
    writer.write_all(&call).await.expect("it is open");
    (reader, writer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_ask_for_nothing_starve_nobody_whether_their_answers_are_read_or_not() {
    let target = Target::start(&[]).await;
    for (what, flood) in [
        ("PING", raw::frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", raw::frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])),
        ("PRIORITY", raw::frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 7])),
        ("no known kind", raw::frame(0xaa, 0, 0, &[0; 8])),
    ] {
        for reads in [true, false] {
            target.withstands(&format!("frames of {what}, reads: {reads}"), send(&target, &flood, reads)).await;
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
