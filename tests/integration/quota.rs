//! AWS's view of the quota: how many reads arrive in any second, and for which sessions.

use crate::{
    facade::{eventually, id, request},
    program::{Running, aws, serve},
    redis::Redis,
};
use axum::{
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use face_liveness_facade::simulator::{ImageStore, Pace, Session, Simulator, Status};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinSet};

const SECOND: Duration = Duration::from_secs(1);

/// A simulated AWS without a quota, that records when each read arrives.
struct RecordingAws {
    simulator: Simulator,
    endpoint: String,
    arrivals: Arrivals,
}

type Arrivals = Arc<Mutex<Vec<Instant>>>;

async fn record(State(arrivals): State<Arrivals>, request: Request, next: Next) -> Response {
    arrivals.lock().expect("no thread panics while holding the lock").push(Instant::now());
    next.run(request).await
}

impl RecordingAws {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let (simulator, arrivals) = (Simulator::new(Default::default()), Arrivals::default());
        let router = simulator.router().layer(middleware::from_fn_with_state(Arc::clone(&arrivals), record));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { simulator, endpoint, arrivals }
    }

    /// Adds sessions that stay in this status.
    fn place(&self, sessions: std::ops::Range<u32>, status: &Status) {
        for number in sessions {
            let images = ImageStore::None;
            self.simulator.place(Session { pace: Pace::Frozen(status.clone()), images, ..Session::new(id(number)) });
        }
    }

    fn arrivals(&self) -> Vec<Instant> {
        self.arrivals.lock().expect("no thread panics while holding the lock").clone()
    }

    /// Returns the most reads in any sliding second.
    fn most_in_a_second(&self) -> usize {
        let mut arrivals = self.arrivals();
        arrivals.sort();
        let count = |from: usize| arrivals[from..].iter().take_while(|at| **at < arrivals[from] + SECOND).count();
        (0..arrivals.len()).map(count).max().unwrap_or_default()
    }
}

/// Repeats a measurement that fails. A busy machine stops this process or the program for longer
/// than the jitter of 30 ms that the limiter allows for, and reads then arrive together.
async fn one_of_three(measure: impl AsyncFn() -> Result<(), String>) {
    let mut failures = Vec::new();
    for _ in 0..3 {
        match measure().await {
            Ok(()) => return,
            Err(failure) => failures.push(failure),
        }
    }
    panic!("{failures:?}");
}

fn at_most(most: usize, reads: usize) -> Result<(), String> {
    if reads <= most { Ok(()) } else { Err(format!("AWS got {reads} reads in a second")) }
}

/// Calls for each session once, at the same time. Returns the durations of the calls.
async fn call_at_once(program: &Running, sessions: std::ops::Range<u32>) -> Vec<Duration> {
    let client = program.client().await;
    let mut calls = JoinSet::new();
    for number in sessions {
        let mut client = client.clone();
        calls.spawn(async move {
            let started = Instant::now();
            client.get_liveness_result(request(&id(number))).await.ok();
            started.elapsed()
        });
    }
    let mut durations = calls.join_all().await;
    durations.sort();
    durations
}

/// Waits for the final result of each session, until the returned set is dropped.
async fn wait_for(program: &Running, sessions: std::ops::Range<u32>) -> JoinSet<()> {
    let client = program.client().await;
    let mut waits = JoinSet::new();
    for number in sessions {
        let mut client = client.clone();
        let mut request = request(&id(number));
        request.wait = Some(prost_types::Duration { seconds: 50, nanos: 0 });
        waits.spawn(async move {
            client.get_liveness_result(request).await.ok();
        });
    }
    waits
}

#[tokio::test]
#[ignore = "a debug build takes longer than the jitter to send a burst: run make test-release"]
async fn after_an_idle_time_aws_sees_at_most_one_read_more_than_the_quota_in_a_second() {
    one_of_three(async || burst_and_load(25, "25").await).await;
    one_of_three(async || burst_and_load(5, "5").await).await;
}

/// Uses a quota after an idle time, first with first reads, and then with more reads than it has.
async fn burst_and_load(quota: u32, name: &str) -> Result<(), String> {
    let aws_side = RecordingAws::start().await;
    aws_side.place(1..3 * quota, &Status::Succeeded);
    aws_side.place(1_000..1_000 + 3 * quota, &Status::InProgress);
    let program = serve(&["--quota-tps", name], &aws(&aws_side.endpoint));
    // The connections to AWS are open, and the quota is unused.
    call_at_once(&program, 1..quota / 2).await;
    tokio::time::sleep(2 * SECOND).await;
    let durations = call_at_once(&program, quota / 2..quota + quota / 2 - 1).await;
    // All but one do not wait for a permit.
    if durations[quota as usize - 3] > SECOND / 2 {
        return Err(format!("first reads waited: {durations:?}"));
    }
    let _waits = wait_for(&program, 1_000..1_000 + 3 * quota).await;
    call_at_once(&program, quota + quota / 2..3 * quota).await;
    tokio::time::sleep(3 * SECOND).await;
    at_most(quota as usize + 1, aws_side.most_in_a_second())
}

#[tokio::test]
#[ignore = "a debug build takes longer than the jitter to send a burst: run make test-release"]
async fn a_saturated_quota_is_used_up_on_average() {
    let aws_side = RecordingAws::start().await;
    aws_side.place(1..100, &Status::InProgress);
    let program = serve(&["--quota-tps", "25"], &aws(&aws_side.endpoint));
    let _waits = wait_for(&program, 1..100).await;
    let started = Instant::now();
    eventually("the quota is in use", async || aws_side.arrivals().len() > 30).await;
    tokio::time::sleep(6 * SECOND).await;
    let expected = 25.0 * started.elapsed().as_secs_f64();
    let reads = aws_side.arrivals().len() as f64;
    // A busy machine delays some.
    assert!(reads >= 0.95 * expected, "{reads} of {expected}");
}

#[tokio::test]
#[ignore = "a debug build takes longer than the jitter to send a burst: run make test-release"]
async fn replicas_stay_within_the_quota_while_redis_fails_and_returns() {
    one_of_three(fail_redis_and_return).await;
}

async fn fail_redis_and_return() -> Result<(), String> {
    let aws_side = RecordingAws::start().await;
    aws_side.place(1..200, &Status::Succeeded);
    aws_side.place(1_000..1_200, &Status::InProgress);
    let mut redis = Redis::start().ready();
    let key = redis.folder.join("key");
    std::fs::write(&key, BASE64_STANDARD.encode([1; 32])).expect("the folder is writable");
    let (url, key) = (redis.url(), key.display().to_string());
    let shared = ["--shared-cache-url", &url, "--shared-cache-key-file", &key, "--shared-cache-timeout", "1s"];
    let flags = [&shared[..], &["--quota-tps", "25", "--quota-replicas", "2"]].concat();
    let replicas = [(); 2].map(|()| serve(&flags, &aws(&aws_side.endpoint)));
    let busy = wait_for(&replicas[0], 1_000..1_100).await;
    let idle = wait_for(&replicas[1], 1_100..1_103).await;
    tokio::time::sleep(2 * SECOND).await;
    call_at_once(&replicas[1], 1..20).await;
    redis.kill();
    call_at_once(&replicas[1], 20..40).await;
    tokio::time::sleep(2 * SECOND).await;
    redis.restart();
    call_at_once(&replicas[1], 40..80).await;
    tokio::time::sleep(3 * SECOND).await;
    call_at_once(&replicas[0], 80..110).await;
    drop((busy, idle));
    at_most(26, aws_side.most_in_a_second())
}

/// Calls for each unknown id again and again, until the returned set is dropped.
async fn poll_unknown_ids(program: &Running, ids: std::ops::Range<u32>, wait: Option<i64>) -> JoinSet<()> {
    let client = program.client().await;
    let mut callers = JoinSet::new();
    for number in ids {
        let mut client = client.clone();
        let mut request = request(&id(number));
        request.wait = wait.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        callers.spawn(async move {
            loop {
                client.get_liveness_result(request.clone()).await.ok();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    callers
}

/// Fails if more than a tenth of the reads are of unknown ids, while sessions of `real` are polled
/// at the limit of the quota and unknown ids on `polluted`.
async fn poll_sessions_and_unknown_ids(
    aws_side: &RecordingAws,
    real: &Running,
    polluted: &[&Running],
    wait: Option<i64>,
) -> Result<(), String> {
    const UNKNOWN: u32 = 60;
    aws_side.place(1..60, &Status::Created);
    let mut unknown = Vec::new();
    for program in polluted {
        unknown.push(poll_unknown_ids(program, 10_000..10_000 + UNKNOWN, wait).await);
    }
    let not_found = || aws_side.simulator.reads_with_outcome("SessionNotFoundException") as f64;
    // Each id has had its first read, which nothing tells from that of a session.
    let all_read = async || (10_000..10_000 + UNKNOWN).all(|number| aws_side.simulator.reads_of(&id(number)) > 0);
    eventually("each id has been read", all_read).await;
    // The old ids are urgent by their age.
    tokio::time::sleep(15 * SECOND).await;
    let _waits = wait_for(real, 1..60).await;
    eventually("each session has been read", async || (1..60).all(|n| aws_side.simulator.reads_of(&id(n)) > 0)).await;
    let (reads, unknown_before) = (aws_side.simulator.reads(), not_found());
    tokio::time::sleep(4 * SECOND).await;
    let (unknown, reads) = (not_found() - unknown_before, (aws_side.simulator.reads() - reads) as f64);
    // The counts are not of the same instant.
    if unknown <= reads / 10.0 + 2.0 { Ok(()) } else { Err(format!("{unknown} of {reads} reads")) }
}

#[tokio::test]
async fn unknown_ids_get_at_most_a_tenth_of_the_reads_while_sessions_wait() {
    for wait in [None, Some(20)] {
        let aws_side = RecordingAws::start().await;
        let program = serve(&["--quota-tps", "40", "--not-found-ttl", "15s"], &aws(&aws_side.endpoint));
        poll_sessions_and_unknown_ids(&aws_side, &program, &[&program], wait).await.expect("at most a tenth");
    }
}

#[tokio::test]
async fn unknown_ids_on_all_replicas_get_at_most_a_tenth_of_the_reads_together() {
    let aws_side = RecordingAws::start().await;
    let redis = Redis::start().ready();
    let key = redis.folder.join("key");
    std::fs::write(&key, BASE64_STANDARD.encode([1; 32])).expect("the folder is writable");
    let (url, key) = (redis.url(), key.display().to_string());
    let shared = ["--shared-cache-url", &url, "--shared-cache-key-file", &key, "--shared-cache-timeout", "1s"];
    let flags = [&shared[..], &["--quota-tps", "40", "--not-found-ttl", "15s"]].concat();
    let replicas = [(); 3].map(|()| serve(&flags, &aws(&aws_side.endpoint)));
    let polluted: Vec<_> = replicas.iter().collect();
    poll_sessions_and_unknown_ids(&aws_side, &replicas[0], &polluted, None).await.expect("at most a tenth");
}
