//! Clients that request images and do not read them.

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

/// Responses of some 215 KB each: together five times the image budget. A connection may have 2,000
/// streams.
const CALLS: usize = 1_500;

/// The image budget of `grpc::image_budget`.
const IMAGE_BUDGET: usize = 64 * 1024 * 1024;

/// Memory beyond the images: buffers that have grown by doubling, a copied part, streams, tasks,
/// and rejected calls.
const OVERHEAD: usize = 32 * 1024 * 1024;

struct Unread {
    responses: Vec<Response<h2::RecvStream>>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Requests images on `calls` streams with a window of `window` bytes each, and waits for the
/// headers of all responses. Asserts that rejected calls get OVERLOADED. Uses h2, since tonic's
/// client would enforce the deadline itself.
async fn request_images(target: &Target, calls: usize, window: u32) -> Unread {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window).initial_connection_window_size(1 << 30);
    let connected = builder.handshake::<_, Bytes>(target.tcp().await).await;
    let (mut client, connection) = connected.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let message = Bytes::from(raw::message(&full().encode_to_vec()));
    let mut pending = Vec::new();
    for _ in 0..calls {
        client = client.ready().await.expect("the connection is open");
        let request = Request::post("http://localhost/faceliveness.v1.FaceLivenessService/GetLivenessResult")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "1S");
        let request = request.body(()).expect("a valid request");
        let (response, mut stream) = client.send_request(request, false).expect("the connection is open");
        stream.send_data(message.clone(), true).expect("the stream is open");
        pending.push(response);
    }
    let mut responses = Vec::new();
    for response in pending {
        let response = response.await.expect("headers arrive before the deadline");
        // A rejection has only headers.
        match Status::from_header_map(response.headers()) {
            Some(status) => assert_eq!(reason(&status), "OVERLOADED", "{status:?}"),
            None => responses.push(response),
        }
    }
    Unread { responses, connection }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_image_responses_stay_within_the_image_budget() {
    // The allocator may keep the memory of one attack, and reuses it for the next.
    let target = Target { retained_memory: IMAGE_BUDGET + OVERHEAD, ..Target::start(&[]).await };
    let before = target.program.resident();
    for window in [0, 1, 20_000] {
        let attack = async {
            let unread = request_images(&target, CALLS, window).await;
            let taken = target.program.resident().saturating_sub(before);
            let count = unread.responses.len();
            assert!((200..500).contains(&count), "{count} responses fit into 64 MiB");
            assert!(taken < IMAGE_BUDGET + OVERHEAD, "{} MiB", taken >> 20);
            assert_eq!(request_images(&target, 1, 1 << 20).await.responses.len(), 0, "further calls are rejected");
            println!("{count} unread responses: {} MiB", taken >> 20);
        };
        target.withstands(&format!("images on streams with a window of {window} bytes"), attack).await;
        let mut client = target.client().await;
        client.get_liveness_result(full()).await.expect("the image budget is free again");
        drop(client);
        eventually("no client is connected", async || target.connections().await == 0).await;
    }
}
