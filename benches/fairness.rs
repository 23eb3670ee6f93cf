//! Measures how long a client waits for its results while another one requests 1,000 unknown
//! sessions per second, at the quota of a large and of a small region.
//!
//! The program runs in a separate process. Its two clients have two addresses of loopback.

use face_liveness_facade::{
    proto::{self, face_liveness_service_client::FaceLivenessServiceClient},
    simulator::{self, ImageStore, Session, Simulator},
};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::transport::{Channel, Endpoint};

const QUOTAS: [u32; 2] = [25, 5];
/// The part of the quota that the measured client requests. Its fair share of two is a half.
const PART: f64 = 0.25;
const CALLS: u32 = 300;
const UNKNOWN_PER_SECOND: u32 = 1_000;
/// The hostile client begins this long before, so that a burst is over.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// The most that the p99 may grow, in permit intervals.
const MAX_GROWTH: f64 = 2.0;

#[tokio::main]
async fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("| quota | other client | calls | failed | median | p99 | max | growth of the p99 |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut is_met = true;
    for quota in QUOTAS {
        let alone = measure(quota, false).await;
        let beside = measure(quota, true).await;
        let growth = (beside.percentile(0.99) - alone.percentile(0.99)).as_secs_f64() * f64::from(quota);
        println!("| {quota}/s | none | {alone} | |");
        println!("| {quota}/s | {UNKNOWN_PER_SECOND} unknown ids/s | {beside} | {growth:.1} intervals |");
        is_met &= alone.failed + beside.failed == 0 && growth <= MAX_GROWTH;
    }
    if !is_met {
        println!("A goal is missed: no call fails, and the p99 grows by at most {MAX_GROWTH} permit intervals.");
    }
    std::process::exit(i32::from(!is_met));
}

/// The delays of the calls that succeeded, in order, and the number of the others.
struct Delays {
    sorted: Vec<Duration>,
    failed: usize,
}

impl Delays {
    fn percentile(&self, part: f64) -> Duration {
        let index = ((self.sorted.len() as f64 * part).ceil() as usize).saturating_sub(1);
        self.sorted.get(index).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Delays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [median, p99, max] = [0.5, 0.99, 1.0].map(|part| self.percentile(part).as_millis());
        let calls = self.sorted.len() + self.failed;
        write!(f, "{calls} | {} | {median} ms | {p99} ms | {max} ms", self.failed)
    }
}

/// Measures the calls of a client, beside a hostile one or alone.
async fn measure(quota: u32, is_beside_hostile: bool) -> Delays {
    let config = simulator::Config { latency: Duration::from_millis(30), ..Default::default() };
    let simulator = Simulator::new(config);
    let aws = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", aws.local_addr().expect("a bound socket has an address"));
    tokio::spawn(simulator.clone().serve(aws, std::future::pending()));
    let (mut service, address) = serve(&endpoint, quota);
    let hostile = client(&address, 2).await;
    let hostile = is_beside_hostile.then(|| tokio::spawn(request_unknown_ids(hostile)));
    tokio::time::sleep(SETTLED_AFTER).await;

    let (client, mut calls) = (client(&address, 1).await, JoinSet::new());
    for number in 0..CALLS {
        let (created_for, in_progress_for) = (Some(Duration::ZERO), Some(Duration::ZERO));
        let images = ImageStore::None;
        simulator.place(Session { images, created_for, in_progress_for, ..Session::new(id(number.into())) });
        // Between half of the average interval and one and a half.
        tokio::time::sleep(Duration::from_secs_f64((0.5 + fastrand::f64()) / (PART * f64::from(quota)))).await;
        let mut client = client.clone();
        calls.spawn(async move {
            let started = Instant::now();
            client.get_liveness_result(request(number.into())).await.ok().map(|_| started.elapsed())
        });
    }
    let mut sorted: Vec<_> = calls.join_all().await.into_iter().flatten().collect();
    sorted.sort();
    hostile.inspect(|hostile| hostile.abort());
    service.kill().expect("the process can be killed");
    service.wait().expect("the process exits");
    Delays { failed: CALLS as usize - sorted.len(), sorted }
}

/// Requests [`UNKNOWN_PER_SECOND`] new ids per second, without end.
async fn request_unknown_ids(client: FaceLivenessServiceClient<Channel>) {
    let (mut calls, mut ticks) = (JoinSet::new(), tokio::time::interval(Duration::from_millis(10)));
    loop {
        ticks.tick().await;
        for _ in 0..UNKNOWN_PER_SECOND / 100 {
            let mut client = client.clone();
            calls.spawn(async move { client.get_liveness_result(request(fastrand::u64(..))).await.map(drop) });
        }
        while calls.try_join_next().is_some() {}
    }
}

fn request(number: u64) -> tonic::Request<proto::GetLivenessResultRequest> {
    let session_id = id(number);
    let mut request = tonic::Request::new(proto::GetLivenessResultRequest { session_id, ..Default::default() });
    request.set_timeout(Duration::from_secs(5));
    request
}

fn id(number: u64) -> String {
    format!("0123abcd-0000-4000-{:04x}-{:012x}", 0x8000 | (number >> 50), number & 0xffff_ffff_ffff)
}

/// Connects from this address of loopback.
async fn client(address: &str, host: u8) -> FaceLivenessServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is a URI");
    let endpoint = endpoint.local_address(Some(std::net::Ipv4Addr::new(127, 0, 0, host).into()));
    FaceLivenessServiceClient::new(endpoint.connect().await.expect("the server listens"))
}

fn serve(endpoint: &str, quota: u32) -> (Child, String) {
    let program =
        std::env::var_os("TESTED_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_face-liveness-facade").into());
    let mut child = Command::new(program)
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--quota-tps", &quota.to_string()])
        .env_clear()
        .envs([("AWS_ENDPOINT_URL_REKOGNITION", endpoint), ("AWS_REGION", "us-east-1")])
        .envs([("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
    let address = lines.find_map(|line| Some(line.split_once("\"address\":\"")?.1.split_once('"')?.0.to_owned()));
    std::thread::spawn(move || lines.for_each(drop));
    (child, address.expect("the log has the address"))
}
