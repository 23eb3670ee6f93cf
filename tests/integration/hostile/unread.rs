//! Callers who ask for faces and take none.

use super::{
    raw,
    target::{Target, full},
};
use crate::facade::{eventually, reason};
use prost::Message;
use tokio::task::JoinHandle;
use tonic::{
    Status,
    codegen::{
        Bytes,
        http::{Request, Response},
    },
};

/// Their answers are some 215 KB each: five times what there is room for. A connection may have
/// 2,000 at once.
const CALLS: usize = 1_500;

/// The image budget of `grpc::image_budget`.
const ROOM: usize = 64 * 1024 * 1024;

/// What they take beyond their images: buffers that have grown by doubling, the copy of a part,
/// streams, tasks, and the calls that are refused.
const OVERHEAD: usize = 32 * 1024 * 1024;

/// Lets glibc return large buffers to the system as soon as they are freed, as docs/sizing.md
/// recommends, so that resident memory is memory in use. By default, glibc keeps most of them.
const GIVE_BACK: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "65536");

struct Unread {
    answers: Vec<Response<h2::RecvStream>>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Asks for faces on `calls` streams that take `window` bytes each, and waits for the beginning of
/// all answers. Those that are refused have to be told why; no library is between that would look
/// at its own clock.
async fn ask(target: &Target, calls: usize, window: u32) -> Unread {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window).initial_connection_window_size(1 << 30);
    let connected = builder.handshake::<_, Bytes>(target.tcp().await).await;
    let (mut client, connection) = connected.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let message = Bytes::from(raw::message(&full().encode_to_vec()));
    let mut begun = Vec::new();
    for _ in 0..calls {
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
        match Status::from_header_map(answer.headers()) {
            Some(status) => assert_eq!(reason(&status), "OVERLOADED", "{status:?}"),
            None => answers.push(answer),
        }
    }
    Unread { answers, connection }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faces_that_nobody_takes_fill_their_room_and_no_more() {
    let target = Target::with(&[], &[GIVE_BACK]).await;
    for window in [0, 1, 20_000] {
        let attack = async {
            let before = target.program.resident();
            let unread = ask(&target, CALLS, window).await;
            let taken = target.program.resident().saturating_sub(before);
            let count = unread.answers.len();
            assert!((200..500).contains(&count), "64 MiB have no room for {count} answers");
            assert!(taken < ROOM + OVERHEAD, "{} MiB", taken >> 20);
            assert_eq!(
                ask(&target, 1, 1 << 20).await.answers.len(),
                0,
                "there is no room for others, and they are told"
            );
            println!("{count} answers that nobody takes: {} MiB", taken >> 20);
        };
        target.withstands(&format!("faces on streams that take {window} bytes"), attack).await;
        let mut client = target.client().await;
        client.get_liveness_result(full()).await.expect("there is room again");
        drop(client);
        eventually("nobody is there", async || target.connections().await == 0).await;
    }
}
