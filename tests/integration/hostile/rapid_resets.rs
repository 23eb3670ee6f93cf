//! Calls that are reset as soon as they are sent (CVE-2023-44487), and calls that are canceled
//! while they wait.

use super::{
    raw::{self, END_HEADERS, ENHANCE_YOUR_CALM, HEADERS, PING, RST_STREAM, Reader},
    target::Target,
};
use crate::facade::{eventually, id, request};
use face_liveness_facade::{
    proto::GetLivenessResultRequest,
    simulator::{Pace, Session, Status},
};
use prost::Message;
use std::time::Duration;
use tokio::{io::AsyncWriteExt, time::timeout};

const CANCEL: &[u8] = &8_u32.to_be_bytes();

const CONNECTIONS: u32 = 400;
const RESETS: u32 = 100;

/// The payload of the PING after the resets.
const LAST_PING: [u8; 8] = *b"the last";

/// How long a debug build on a busy machine may take to process the resets of a connection.
const PROCESSING_LIMIT: Duration = Duration::from_secs(10);

/// How the server responded to the resets.
#[derive(Debug, PartialEq)]
enum Reaction {
    /// It processed all of them, and acknowledged the PING.
    Processed,
    /// It closed the connection. A reset of the connection can overtake the GOAWAY.
    Closed { goaway_code: Option<u32> },
}

/// Reads until the server acknowledges the last PING or closes the connection.
async fn reaction(reader: &mut Reader) -> Reaction {
    let mut goaway_code = None;
    while let Ok(frame) = reader.frame().await {
        if frame.is_ping_ack(&LAST_PING) {
            return Reaction::Processed;
        }
        goaway_code = frame.goaway_code().or(goaway_code);
    }
    Reaction::Closed { goaway_code }
}

/// h2 closes a connection with more than 20 reset streams that the server has not accepted yet. A
/// read of 2 KiB has some 70 compressed calls and their resets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_of_compressed_calls_close_the_connection() {
    let [literals, indexes] = raw::compressed_call_headers();
    let closed = reset_rapidly(|number| if number == 0 { &literals } else { &indexes }).await;
    assert_eq!(closed, CONNECTIONS);
}

/// A read of 2 KiB has some ten calls without compression, which the server accepts before it reads
/// on. Whether more than 20 accumulate depends on scheduling.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_are_processed_or_close_the_connection() {
    let headers = raw::call_headers();
    reset_rapidly(|_| &headers).await;
}

/// Attacks the server, and returns how many connections it closed.
async fn reset_rapidly<'a>(headers: impl Fn(u32) -> &'a [u8]) -> u32 {
    let target = Target::start(&[]).await;
    let mut bytes = Vec::new();
    for number in 0..RESETS {
        let stream = number * 2 + 1;
        bytes.extend(raw::frame(HEADERS, END_HEADERS, stream, headers(number)));
        bytes.extend(raw::frame(RST_STREAM, 0, stream, CANCEL));
    }
    bytes.extend(raw::frame(PING, 0, 0, &LAST_PING));
    let mut closed = 0;
    let attack = async {
        for _ in 0..CONNECTIONS {
            let (mut reader, mut writer) = raw::connect(&target, &[]).await;
            // The server may close the connection before it has read everything.
            writer.write_all(&bytes).await.ok();
            let reaction = timeout(PROCESSING_LIMIT, reaction(&mut reader)).await.expect("a reaction to the resets");
            if let Reaction::Closed { goaway_code } = reaction {
                assert!(goaway_code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{goaway_code:?}");
                closed += 1;
            }
        }
    };
    target.withstands("40,000 rapid resets", attack).await;
    closed
}

const ROUNDS: u32 = 50;
const CALLS: u32 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canceled_waits_leave_no_request_in_flight() {
    let target = Target::start(&[]).await;
    target.simulator.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(2)) });
    let wait = Some(prost_types::Duration { seconds: 40, nanos: 0 });
    let waiting = raw::message(&GetLivenessResultRequest { wait, ..request(&id(2)) }.encode_to_vec());
    let attack = async {
        let (_reader, mut writer) = raw::connect(&target, &[]).await;
        for round in 0..ROUNDS {
            let streams = (round * CALLS..(round + 1) * CALLS).map(|number| number * 2 + 1);
            let calls: Vec<_> = streams.clone().flat_map(|stream| raw::call(stream, &waiting)).collect();
            writer.write_all(&calls).await.expect("the connection is open");
            eventually("all calls wait", async || target.in_flight().await >= u64::from(CALLS)).await;
            let resets: Vec<_> = streams.flat_map(|stream| raw::frame(RST_STREAM, 0, stream, CANCEL)).collect();
            writer.write_all(&resets).await.expect("the connection is open");
            // At most the concurrent caller's request is left.
            eventually("no call waits", async || target.in_flight().await <= 1).await;
        }
    };
    target.withstands("10,000 canceled waits", attack).await;
}
