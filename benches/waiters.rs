//! Measures memory and CPU time while 10,000 callers wait for 1,000 pending sessions.
//!
//! The program runs in a separate process, so that only its memory and time count. Linux only: it
//! reads `/proc`.

use face_liveness_facade::{
    proto::{self, face_liveness_service_client::FaceLivenessServiceClient},
    simulator::{self, ImageStore, Pace, Session, Simulator, Status},
};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinSet};

const WAITERS: u32 = 10_000;
const SESSIONS: u32 = 1_000;
/// hyper allows 200 concurrent calls on a connection.
const WAITERS_PER_CONNECTION: u32 = 200;
const MEASURED_FOR: Duration = Duration::from_secs(60);
/// By then, all callers wait and every session has been read once.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

const MAX_RESIDENT_MB: f64 = 200.0;
/// Measured: 2.5 on one machine, 4.5 on one of half its speed.
const MAX_CORE_PERCENT: f64 = 10.0;

#[tokio::main]
async fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let simulator = Simulator::new(simulator::Config { latency: Duration::from_millis(30), ..Default::default() });
    for number in 0..SESSIONS {
        let (pace, images) = (Pace::Frozen(Status::InProgress), ImageStore::None);
        simulator.place(Session { pace, images, ..Session::new(id(number)) });
    }
    let aws = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", aws.local_addr().expect("a bound socket has an address"));
    tokio::spawn(simulator.clone().serve(aws, std::future::pending()));
    let (mut service, address) = serve(&endpoint);
    let idle = resident_mb(&service);

    let mut waiters = JoinSet::new();
    for connection in 0..WAITERS / WAITERS_PER_CONNECTION {
        let client = FaceLivenessServiceClient::connect(address.clone()).await.expect("the server listens");
        for waiter in 0..WAITERS_PER_CONNECTION {
            let number = (connection * WAITERS_PER_CONNECTION + waiter) % SESSIONS;
            waiters.spawn(wait(client.clone(), number));
        }
    }
    tokio::time::sleep(SETTLED_AFTER).await;
    let (busy, reads) = (cpu(&service), simulator.reads());
    tokio::time::sleep(MEASURED_FOR).await;
    let core = 100.0 * (cpu(&service) - busy).as_secs_f64() / MEASURED_FOR.as_secs_f64();
    let resident = resident_mb(&service);
    let waiting = waiters.len();
    println!("{waiting} callers wait for {SESSIONS} sessions, measured for {} s", MEASURED_FOR.as_secs());
    println!("resident: {resident:.0} MB, {idle:.0} MB before; the limit is {MAX_RESIDENT_MB:.0} MB");
    println!(
        "CPU: {core:.1}% of one core, for {} reads of AWS; the limit is {MAX_CORE_PERCENT}%",
        simulator.reads() - reads
    );
    waiters.abort_all();
    service.kill().expect("the process can be killed");
    service.wait().expect("the process exits");
    let fits = waiting == WAITERS as usize && resident < MAX_RESIDENT_MB && core < MAX_CORE_PERCENT;
    std::process::exit(i32::from(!fits));
}

fn id(number: u32) -> String {
    format!("0123abcd-0000-4000-8000-{number:012x}")
}

/// Waits repeatedly, as callers do when a session takes longer than a wait.
async fn wait(mut client: FaceLivenessServiceClient<tonic::transport::Channel>, number: u32) {
    loop {
        let wait = Some(prost_types::Duration { seconds: 50, nanos: 0 });
        let request = proto::GetLivenessResultRequest { session_id: id(number), wait, ..Default::default() };
        client.get_liveness_result(request).await.expect("the end of a wait is not an error");
    }
}

fn serve(endpoint: &str) -> (Child, String) {
    // The release build, although this harness is a debug build.
    let program =
        std::env::var_os("TESTED_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_face-liveness-facade").into());
    let mut child = Command::new(program)
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .env_clear()
        .envs([("AWS_ENDPOINT_URL_REKOGNITION", endpoint), ("AWS_REGION", "us-east-1")])
        .envs([("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
    let address = lines.find_map(|line| Some(line.split_once("\"address\":\"")?.1.split_once('"')?.0.to_owned()));
    std::thread::spawn(move || lines.for_each(drop));
    (child, format!("http://{}", address.expect("the log has the address")))
}

fn resident_mb(child: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux reports VmRSS");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number of kB") / 1024.0
}

/// Returns the CPU time in user and system mode.
fn cpu(child: &Child) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("the process runs");
    let fields = stat.rsplit_once(") ").expect("the name is in parentheses").1;
    let ticks: u64 =
        fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number of ticks")).sum();
    // A tick is 10 ms on every Linux that this runs on (sysconf(_SC_CLK_TCK) is 100).
    Duration::from_millis(ticks * 10)
}
