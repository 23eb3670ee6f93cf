//! Calls that are given up as soon as they are made (CVE-2023-44487).

use super::{
    raw::{self, END_HEADERS, ENHANCE_YOUR_CALM, HEADERS, RST_STREAM},
    target::Target,
};
use crate::facade::{eventually, id, request};
use face_liveness_facade::{
    proto::GetLivenessResultRequest,
    simulator::{Pace, Session, Status},
};
use prost::Message;
use tokio::io::AsyncWriteExt;

const CANCEL: &[u8] = &8_u32.to_be_bytes();

const CONNECTIONS: u32 = 400;
const RESETS: u32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_given_up_at_once_end_their_connection() {
    let target = Target::start(&[]).await;
    let mut bytes = Vec::new();
    for number in 0..RESETS {
        let stream = number * 2 + 1;
        bytes.extend(raw::frame(HEADERS, END_HEADERS, stream, &raw::call_headers()));
        bytes.extend(raw::frame(RST_STREAM, 0, stream, CANCEL));
    }
    let attack = async {
        for _ in 0..CONNECTIONS {
            let (mut reader, mut writer) = raw::connect(&target, &[]).await;
            // It may be closed before it has taken all.
            writer.write_all(&bytes).await.ok();
            reader.ends_with(ENHANCE_YOUR_CALM).await;
        }
    };
    target.withstands("40,000 rapid resets", attack).await;
}

const ROUNDS: u32 = 50;
const CALLS: u32 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_given_up_while_they_wait_leave_nothing_in_flight() {
    let target = Target::start(&[]).await;
    target.simulator.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(2)) });
    let wait = Some(prost_types::Duration { seconds: 40, nanos: 0 });
    let waiting = raw::message(&GetLivenessResultRequest { wait, ..request(&id(2)) }.encode_to_vec());
    let attack = async {
        let (_reader, mut writer) = raw::connect(&target, &[]).await;
        for round in 0..ROUNDS {
            let streams = (round * CALLS..(round + 1) * CALLS).map(|number| number * 2 + 1);
            let calls: Vec<_> = streams.clone().flat_map(|stream| raw::call(stream, &waiting)).collect();
            writer.write_all(&calls).await.expect("it is open");
            let in_flight = async || target.metric("face_liveness_requests_in_flight").await;
            eventually("they wait", async || in_flight().await >= u64::from(CALLS)).await;
            let resets: Vec<_> = streams.flat_map(|stream| raw::frame(RST_STREAM, 0, stream, CANCEL)).collect();
            writer.write_all(&resets).await.expect("it is open");
            eventually("nobody waits", async || in_flight().await < u64::from(CALLS)).await;
        }
    };
    target.withstands("10,000 waits that are given up", attack).await;
}
