//! Callers who ask for faces and take none.

use super::{
    raw,
    target::{Target, full},
};
use crate::facade::{eventually, reason};
use prost::Message;
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::codegen::{
    Bytes,
    http::{Request, Response},
};

/// Their answers are some 215 KB each: five times what there is room for. A connection may have 2,000 at once.
const CALLS: usize = 1_500;

/// What `service::sending` gives to answers with images.
const ROOM: usize = 64 * 1024 * 1024;

/// What they take beyond their images: buffers that have grown by doubling, the copy of a part, streams, tasks, and the calls that are
/// refused.
const OVERHEAD: usize = 32 * 1024 * 1024;

/// Lets glibc give back what is freed as soon as it is, so that what is resident is what is held. By itself it would keep up to
/// three quarters of it for the next time.
const GIVE_BACK: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "8192");

struct Unread {
    answers: Vec<Response<h2::RecvStream>>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Asks for faces on many streams that take `window` bytes each, and waits for the beginning of all answers.
async fn ask(target: &Target, window: u32) -> Unread {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window).initial_connection_window_size(1 << 30);
    let connected = builder.handshake::<_, Bytes>(target.tcp().await).await;
    let (mut client, connection) = connected.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let message = Bytes::from(raw::message(&full().encode_to_vec()));
    let mut begun = Vec::new();
    for _ in 0..CALLS {
        client = client.ready().await.expect("the connection is open");
        let request = Request::post("http://localhost/faceliveness.v1.FaceLivenessService/GetLivenessResult")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "1S");
        let request = request.body(()).expect("it is sound");
        let (answer, mut stream) = client.send_request(request, false).expect("the connection is open");
        stream.send_data(message.clone(), true).expect("the stream is open");
        begun.push(answer);
    }
    let mut answers = Vec::new();
    for answer in begun {
        let answer = answer.await.expect("an answer begins before the deadline");
        // One that is refused is its headers alone.
        if !answer.headers().contains_key("grpc-status") {
            answers.push(answer);
        }
    }
    let begun = answers.len();
    assert!((200..500).contains(&begun), "the room has room for 64 MiB, not for {begun} answers");
    Unread { answers, connection }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faces_that_nobody_takes_fill_their_room_and_no_more() {
    let target = Target::with(&[], &[GIVE_BACK]).await;
    for window in [0, 1, 20_000] {
        let attack = async {
            let before = target.program.resident();
            let unread = ask(&target, window).await;
            let taken = target.program.resident().saturating_sub(before);
            assert!(taken < ROOM + OVERHEAD, "{} MiB", taken >> 20);
            let mut request = tonic::Request::new(full());
            request.set_timeout(Duration::from_millis(500));
            let status = target.client().await.get_liveness_result(request).await.expect_err("there is no room");
            assert_eq!(reason(&status), "OVERLOADED", "it is told before its deadline");
            println!("{} answers that nobody takes: {} MiB", unread.answers.len(), taken >> 20);
        };
        target.withstands(&format!("faces on streams that take {window} bytes"), attack).await;
        let mut client = target.client().await;
        client.get_liveness_result(full()).await.expect("there is room again");
        drop(client);
        eventually("nobody is there", async || target.connections().await == 0).await;
    }
}
