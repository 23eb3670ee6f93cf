//! The program's memory per connection, stream, waiting request and cached result. docs/sizing.md
//! has the same bounds, and the chart computes the memory limit of a pod from them.
//!
//! Linux only: it reads the program's memory from `/proc`. `hostile::unread_responses` measures
//! images in flight.

use crate::{
    facade::{id, request, within},
    hostile::{
        memory::Attacker,
        raw::{self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS},
        target::Target,
    },
};
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, ResultView},
    simulator::{ImageStore, Pace, Session, Status},
};
use std::time::Duration;
use tokio::task::JoinSet;

/// The bounds, in bytes. Those of a debug build are wider: its futures are larger, and it inlines
/// nothing.
const CONNECTION: usize = 20 << 10;
const INCOMPLETE_CONNECTION: usize = 120 << 10;
const WATCH: usize = 8 << 10;
const REFLECTION: usize = 24 << 10;
const WAITING_REQUEST: usize = 14 << 10;
const OPEN_REQUEST: usize = 12 << 10;
const RESULT: usize = 1_280;

/// How long 4,000 requests may take to arrive on a busy machine. They wait for 50 s.
const OPEN_LIMIT: Duration = Duration::from_secs(40);

/// The step in which the allocator grows, and the overhead of a debug build.
const SLACK: usize = 2 << 20;

/// Asserts that each of the `count` things that `make` creates takes at most `bound` bytes.
async fn assert_memory_of_each<T>(
    target: &Target,
    what: &str,
    count: usize,
    bound: usize,
    make: impl Future<Output = T>,
) -> T {
    let before = target.program.resident();
    let created = make.await;
    let taken = target.program.resident().saturating_sub(before);
    println!("{what}: {:.1} KiB each, at most {:.1}", taken as f64 / count as f64 / 1024.0, bound as f64 / 1024.0);
    let factor = if crate::program::is_release() { 1 } else { 2 };
    assert!(taken < bound * factor * count + SLACK, "{what}: {} KiB for {count}", taken >> 10);
    created
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_takes_20_kib_and_with_incomplete_headers_120_kib() {
    const COUNT: usize = 500;
    let target = Target::start(&[]).await;
    let connect = async {
        let mut attackers = Vec::new();
        for _ in 0..COUNT {
            let mut attacker = Attacker::connect(target.address()).await;
            attacker.settle().await;
            attackers.push(attacker);
        }
        attackers
    };
    let mut attackers = assert_memory_of_each(&target, "idle connection", COUNT, CONNECTION, connect).await;
    // The most fields that HTTP/2 accepts, and all but the last byte of the next frame.
    let fields = raw::frame(HEADERS, 0, 1, &raw::empty_fields("/", 900, 0));
    let frame = raw::frame(CONTINUATION, 0, 1, &[0xbe; 16_384]);
    let send_incomplete_headers = async {
        for attacker in &mut attackers {
            let sent = attacker.send(&[&fields, &frame[..frame.len() - 1]].concat()).await;
            assert!(sent, "the server reads the headers");
        }
        memory_settles(&target).await;
    };
    assert_memory_of_each(
        &target,
        "connection with incomplete headers",
        COUNT,
        INCOMPLETE_CONNECTION,
        send_incomplete_headers,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_takes_8_kib_and_a_reflection_stream_24_kib() {
    let message = raw::message(&[]);
    for (what, path, count, bound, message) in [
        ("watch", "/grpc.health.v1.Health/Watch", 1_500, WATCH, Some(&message)),
        ("reflection", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", 100, REFLECTION, None),
    ] {
        let target = Target::start(&[]).await;
        let mut attacker = Attacker::connect(target.address()).await;
        let open = async {
            for number in 0..count as u32 {
                let headers = raw::frame(HEADERS, END_HEADERS, number * 2 + 1, &raw::headers_to(path));
                let data = message.map(|message| raw::frame(DATA, END_STREAM, number * 2 + 1, message));
                let sent = attacker.send(&[headers, data.unwrap_or_default()].concat()).await;
                assert!(sent, "the server reads stream {number}");
            }
            attacker.settle().await;
            memory_settles(&target).await;
        };
        assert_memory_of_each(&target, what, count, bound, open).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_its_message_takes_12_kib_with_any_headers() {
    const COUNT: usize = 4_000;
    let target = Target::start(&[]).await;
    let path = "/faceliveness.v1.FaceLivenessService/GetLivenessResult";
    let open = async {
        let mut attackers = Vec::new();
        for _ in 0..COUNT / 2_000 {
            let mut attacker = Attacker::connect(target.address()).await;
            attacker.open(2_000, |number| raw::large_fields(path, number)).await;
            attackers.push(attacker);
        }
        within(OPEN_LIMIT, "all requests are in flight", async || target.in_flight().await == COUNT as u64).await;
        attackers
    };
    assert_memory_of_each(&target, "request without a message", COUNT, OPEN_REQUEST, open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_request_takes_14_kib_with_its_session() {
    const COUNT: usize = 4_000;
    let target = Target::start(&[]).await;
    for number in 100..500 {
        target.simulator.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(number)) });
    }
    let mut waiters = JoinSet::new();
    let wait = async {
        for connection in 0..10_u32 {
            let client = target.client().await;
            for number in 0..400 {
                let (mut client, number) = (client.clone(), 100 + (connection * 400 + number) % 400);
                let wait = Some(prost_types::Duration { seconds: 50, nanos: 0 });
                waiters.spawn(async move {
                    let request = GetLivenessResultRequest { wait, ..request(&id(number)) };
                    client.get_liveness_result(request).await.map(drop)
                });
            }
        }
        within(OPEN_LIMIT, "all calls wait", async || target.in_flight().await == COUNT as u64).await;
        within(OPEN_LIMIT, "all sessions are read", async || target.simulator.reads() > 400).await;
    };
    assert_memory_of_each(&target, "waiting request", COUNT, WAITING_REQUEST, wait).await;
    waiters.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cached_result_takes_1280_bytes() {
    const COUNT: usize = 10_000;
    let target = Target::start(&[]).await;
    for number in 0..COUNT as u32 {
        let (pace, images) = (Pace::Frozen(Status::Succeeded), ImageStore::None);
        target.simulator.place(Session { pace, images, ..Session::new(id(1_000 + number)) });
    }
    let read = async {
        let mut callers = JoinSet::new();
        for caller in 0..10_u32 {
            let mut client = target.client().await;
            callers.spawn(async move {
                for number in 0..COUNT as u32 / 10 {
                    let session = id(1_000 + caller * (COUNT as u32 / 10) + number);
                    client.get_liveness_result(request(&session)).await.expect("a result");
                }
            });
        }
        callers.join_all().await;
        memory_settles(&target).await;
    };
    assert_memory_of_each(&target, "cached result", COUNT, RESULT, read).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_expired_images_returns_to_the_system() {
    const COUNT: u32 = 200;
    let target = Target::start(&["--image-ttl", "20s"]).await;
    for number in 1_000..1_000 + COUNT {
        let session = Session { pace: Pace::Frozen(Status::Succeeded), audit_images: 4, ..Session::new(id(number)) };
        target.simulator.place(session);
    }
    let before = target.program.resident();
    let mut client = target.client().await;
    let mut image_bytes = 0;
    for number in 1_000..1_000 + COUNT {
        let request = GetLivenessResultRequest { view: ResultView::Full.into(), ..request(&id(number)) };
        let response = client.get_liveness_result(request).await.expect("a result").into_inner();
        let result = response.result.expect("a result");
        image_bytes +=
            result.audit_images.iter().chain(&result.reference_image).map(|i| i.content.len()).sum::<usize>();
    }
    let taken = || target.program.resident().saturating_sub(before);
    println!("{} KiB of images, {} KiB resident", image_bytes >> 10, taken() >> 10);
    assert!(image_bytes > 20 << 20 && taken() > image_bytes / 2, "the images are in memory");
    within(Duration::from_secs(60), "the images have left the memory", async || taken() < image_bytes / 4).await;
    println!("{} KiB resident after they expired", taken() >> 10);
}

/// The load that docs/sizing.md calls typical: one new session per second, its results for an hour
/// and its five images for five minutes, and 50 clients that wait for a result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typical_load_takes_less_than_the_memory_request_of_the_chart() {
    const WITH_IMAGES: u32 = 300;
    const CLIENTS: u32 = 50;
    /// `a_cached_result_takes_1280_bytes` measures these.
    const OTHER_RESULTS: usize = (3_600 - WITH_IMAGES as usize) * RESULT;
    let target = Target::start(&[]).await;
    let mut client = target.client().await;
    for number in 1_000..1_000 + WITH_IMAGES {
        let pace = Pace::Frozen(Status::Succeeded);
        target.simulator.place(Session { pace, audit_images: 4, ..Session::new(id(number)) });
        let request = GetLivenessResultRequest { view: ResultView::Full.into(), ..request(&id(number)) };
        client.get_liveness_result(request).await.expect("a result");
    }
    target.simulator.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(2)) });
    let mut waiters = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = target.client().await;
        let wait = Some(prost_types::Duration { seconds: 50, nanos: 0 });
        let request = GetLivenessResultRequest { wait, ..request(&id(2)) };
        waiters.spawn(async move { client.get_liveness_result(request).await.map(drop) });
    }
    within(OPEN_LIMIT, "all calls wait", async || target.in_flight().await == u64::from(CLIENTS)).await;
    memory_settles(&target).await;
    let peak = target.program.peak() + OTHER_RESULTS;
    println!("typical load: {} MiB", peak >> 20);
    let values = concat!(env!("CARGO_MANIFEST_DIR"), "/helm/face-liveness-facade/values.yaml");
    let values = std::fs::read_to_string(values).expect("the chart has values");
    let request = values.lines().find_map(|line| line.trim().strip_prefix("memory: ")?.strip_suffix("Mi"));
    let request = request.expect("a memory request in MiB").parse::<usize>().expect("a number") << 20;
    let factor = if crate::program::is_release() { 1 } else { 2 };
    assert!(peak < request * factor, "{} MiB of {}", peak >> 20, request >> 20);
    waiters.shutdown().await;
}

/// Waits until the program's memory changes by less than 64 KiB in 100 ms. Panics after ten
/// seconds.
async fn memory_settles(target: &Target) {
    let mut last = target.program.resident();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = target.program.resident();
        if now.abs_diff(last) < 64 << 10 {
            return;
        }
        last = now;
    }
    panic!("the memory still changes: {} KiB now", last >> 10);
}
