//! What is attacked, and the caller who must not notice.

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

/// A session that is held, with all its images, before an attack begins.
const HELD: u32 = 1;

/// The longest that a call of others may take meanwhile. On an idle machine it is a few
/// milliseconds; a debug build that shares two processors with the attacker, other tests and more
/// takes some hundreds. Who is starved waits for his deadline.
const QUICK: Duration = Duration::from_secs(4);

/// Half of the calls of others are quicker than this.
const USUAL: Duration = Duration::from_millis(500);

/// How long others wait until they ask again.
const PAUSE: Duration = Duration::from_millis(5);

/// What a program may keep of an attack that is over. glibc gives memory back from the end of each
/// of its arenas only, of which there are eight a processor; so some of what was freed stays
/// resident until it is used again.
const KEPT: usize = 32 * 1024 * 1024;

/// Lines that a program may log in a second of an attack: a hundred refusals, each second of the
/// clock that it touches, and some more.
const LINES_PER_SECOND: f64 = 110.0;
const MORE_LINES: f64 = 220.0;

pub struct Target {
    pub program: Running,
    pub simulator: Simulator,
}

/// What the callers beside an attack have seen.
#[derive(Debug)]
struct Beside {
    calls: usize,
    median: Duration,
    slowest: Duration,
}

impl Target {
    /// The program, which holds a session with five images.
    pub async fn start(flags: &[&str]) -> Self {
        Self::with(flags, &[]).await
    }

    /// The same, with more of an environment.
    pub async fn with(flags: &[&str], more: &[(&str, &str)]) -> Self {
        let (simulator, endpoint) = program::simulator().await;
        simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), audit_images: 4, ..Session::new(id(HELD)) });
        let settings = [
            ("AWS_ENDPOINT_URL_REKOGNITION", endpoint.as_str()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "any"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
        ];
        let settings = [&settings, more].concat();
        let program = program::serve(&[&["--quota-tps", "0"], flags].concat(), &settings);
        let target = Self { program, simulator };
        target.client().await.get_liveness_result(full()).await.expect("an answer");
        target
    }

    pub fn address(&self) -> SocketAddr {
        self.program.address.parse().expect("it listens on an address")
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.program.admin_address.parse().expect("it listens on an address")
    }

    pub async fn in_flight(&self) -> u64 {
        self.metric("face_liveness_requests_in_flight").await
    }

    pub async fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).await.expect("the port is open");
        stream.set_nodelay(true).expect("it is open");
        stream
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address())).expect("an address is a URI");
        endpoint.connect().await.expect("the port is open")
    }

    pub async fn client(&self) -> FaceLivenessServiceClient<Channel> {
        FaceLivenessServiceClient::new(self.channel().await)
    }

    /// The value of a series of the program's metrics.
    pub async fn metric(&self, series: &str) -> u64 {
        let [value] = self.metrics([series]).await;
        value
    }

    /// The values of some series at one moment.
    pub async fn metrics<const N: usize>(&self, series: [&str; N]) -> [u64; N] {
        let (_, text) = get(&self.program.admin_address, "/metrics").await;
        series.map(|series| {
            let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            value.unwrap_or_else(|| panic!("{series} in\n{text}")).parse().expect("a whole number")
        })
    }

    pub async fn connections(&self) -> u64 {
        self.metric("face_liveness_connections").await
    }

    /// Lets `attack` happen while others call. They must not notice it, and nothing of it may be
    /// left.
    pub async fn withstands<T>(&self, what: &str, attack: impl Future<Output = T>) -> T {
        let (before, lines, started) = (self.program.resident(), self.lines(), Instant::now());
        let (stop, stopped) = oneshot::channel();
        let others = tokio::spawn(call_until(self.client().await, stopped));
        let end = attack.await;
        drop(stop);
        let others = others.await.expect("no call of others fails");
        let seconds = started.elapsed().as_secs_f64();
        let Beside { calls, median, slowest } = others;
        assert!(slowest < QUICK && median < USUAL, "{what}: {others:?}");
        eventually("its connections are gone", async || self.connections().await == 0).await;
        eventually("its requests are gone", async || self.metric("face_liveness_requests_in_flight").await == 0).await;
        eventually("its memory is free", async || self.program.resident() < before + KEPT).await;
        let lines = self.lines() - lines;
        assert!((lines as f64) < MORE_LINES + LINES_PER_SECOND * seconds, "{what}: {lines} lines in {seconds} s");
        let (before, after) = (before >> 10, self.program.resident() >> 10);
        println!(
            "{what}: {seconds:.1} s, {lines} lines, {before} then {after} KiB; others: {calls} calls, {median:?}, slowest {slowest:?}"
        );
        end
    }

    /// Lines logged, without those that say who has got a face: each is wanted.
    fn lines(&self) -> usize {
        self.program.log().lines().filter(|line| !line.contains(r#""target":"access""#)).count()
    }
}

pub fn full() -> GetLivenessResultRequest {
    GetLivenessResultRequest { view: ResultView::Full.into(), ..request(&id(HELD)) }
}

async fn call_until(mut client: FaceLivenessServiceClient<Channel>, mut stopped: oneshot::Receiver<()>) -> Beside {
    let mut times = Vec::new();
    while stopped.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        let started = Instant::now();
        client.get_liveness_result(request(&id(HELD))).await.expect("others are answered");
        times.push(started.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    times.sort();
    let slowest = times.last().copied().unwrap_or_default();
    Beside { calls: times.len(), median: times[times.len() / 2], slowest }
}
