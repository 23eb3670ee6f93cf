//! The program under attack, and a concurrent caller that the attack must not affect.

use crate::{
    admin::get,
    facade::{eventually, id, request},
    program::{self, Running},
};
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, ResultView, face_liveness_service_client::FaceLivenessServiceClient},
    simulator::{Pace, Session, Simulator, Status},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, sync::oneshot};
use tonic::transport::Channel;

/// A session that is cached, with all images, before an attack.
const CACHED: u32 = 1;

/// The longest latency of the concurrent caller. It is a few milliseconds on an idle machine, and
/// some hundreds for a debug build that shares two processors with the attacker and other tests. A
/// starved call takes until its deadline.
const MAX_LATENCY: Duration = Duration::from_secs(4);

/// The highest median latency of the concurrent caller.
const MAX_MEDIAN_LATENCY: Duration = Duration::from_millis(500);

/// The pause between two calls of the concurrent caller.
const PAUSE: Duration = Duration::from_millis(5);

/// How much memory may stay resident after most attacks. The allocator keeps some freed memory
/// until it is reused.
const RETAINED_MEMORY: usize = 32 * 1024 * 1024;

/// The most log lines per second of an attack: a hundred rejections per second of the clock, and
/// some more.
const LINES_PER_SECOND: f64 = 110.0;
const EXTRA_LINES: f64 = 220.0;

pub struct Target {
    pub program: Running,
    pub simulator: Simulator,
    /// How much more memory may stay resident after an attack.
    pub retained_memory: usize,
}

/// The latencies of the concurrent caller.
#[derive(Debug)]
struct Latencies {
    calls: usize,
    median: Duration,
    slowest: Duration,
}

impl Target {
    /// Starts the program, and caches a session with five images.
    pub async fn start(flags: &[&str]) -> Self {
        let (simulator, endpoint) = program::simulator().await;
        simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), audit_images: 4, ..Session::new(id(CACHED)) });
        let program = program::serve(&[&["--quota-tps", "0"], flags].concat(), &program::aws(&endpoint));
        let target = Self { program, simulator, retained_memory: RETAINED_MEMORY };
        target.client().await.get_liveness_result(full()).await.expect("a response");
        target
    }

    pub fn address(&self) -> SocketAddr {
        self.program.address.parse().expect("a socket address")
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.program.admin_address.parse().expect("a socket address")
    }

    pub async fn in_flight(&self) -> u64 {
        self.metric("face_liveness_requests_in_flight").await
    }

    pub async fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).await.expect("the port is open");
        stream.set_nodelay(true).expect("the connection is open");
        stream
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address())).expect("an address is a URI");
        endpoint.connect().await.expect("the port is open")
    }

    pub async fn client(&self) -> FaceLivenessServiceClient<Channel> {
        FaceLivenessServiceClient::new(self.channel().await)
    }

    /// Returns the value of a metric; `series` is its name and labels as exported.
    pub async fn metric(&self, series: &str) -> u64 {
        let [value] = self.metrics([series]).await;
        value
    }

    /// Returns the values of some metrics, all from one scrape.
    pub async fn metrics<const N: usize>(&self, series: [&str; N]) -> [u64; N] {
        let (_, text) = get(&self.program.admin_address, "/metrics").await;
        series.map(|series| {
            let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            value.unwrap_or_else(|| panic!("{series} is not in\n{text}")).parse().expect("a whole number")
        })
    }

    pub async fn connections(&self) -> u64 {
        self.metric("face_liveness_connections").await
    }

    /// Runs `attack` with a concurrent caller. Asserts that the caller is not affected, and that no
    /// connection, request or memory is left afterwards.
    pub async fn withstands<T>(&self, what: &str, attack: impl Future<Output = T>) -> T {
        let (before, lines, started) = (self.program.resident(), self.lines(), Instant::now());
        let (stop, stopped) = oneshot::channel();
        let caller = tokio::spawn(call_until(self.client().await, stopped));
        let result = attack.await;
        drop(stop);
        let latencies = caller.await.expect("no call of the concurrent caller fails");
        let seconds = started.elapsed().as_secs_f64();
        let Latencies { calls, median, slowest } = latencies;
        assert!(slowest < MAX_LATENCY && median < MAX_MEDIAN_LATENCY, "{what}: {latencies:?}");
        eventually("no connection is open", async || self.connections().await == 0).await;
        eventually("no request is in flight", async || self.metric("face_liveness_requests_in_flight").await == 0)
            .await;
        eventually("the memory is freed", async || self.program.resident() < before + self.retained_memory).await;
        let lines = self.lines() - lines;
        assert!((lines as f64) < EXTRA_LINES + LINES_PER_SECOND * seconds, "{what}: {lines} lines in {seconds} s");
        let (before, after) = (before >> 10, self.program.resident() >> 10);
        println!(
            "{what}: {seconds:.1} s, {lines} lines, {before} then {after} KiB; concurrent caller: {calls} calls, median {median:?}, slowest {slowest:?}"
        );
        result
    }

    /// Returns the number of logged lines, without the access log.
    fn lines(&self) -> usize {
        self.program.log().lines().filter(|line| !line.contains(r#""target":"access""#)).count()
    }
}

/// Returns a request for the cached session with all images.
pub fn full() -> GetLivenessResultRequest {
    GetLivenessResultRequest { view: ResultView::Full.into(), ..request(&id(CACHED)) }
}

/// Calls until `stopped`, at least once.
async fn call_until(mut client: FaceLivenessServiceClient<Channel>, mut stopped: oneshot::Receiver<()>) -> Latencies {
    let mut times = Vec::new();
    while times.is_empty() || stopped.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        let started = Instant::now();
        client.get_liveness_result(request(&id(CACHED))).await.expect("the concurrent caller gets a response");
        times.push(started.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    times.sort();
    let slowest = times.last().copied().unwrap_or_default();
    Latencies { calls: times.len(), median: times[times.len() / 2], slowest }
}
