//! A log whose reader stalls, so that the pipe of standard error is full.

use crate::{
    admin::{self, get},
    facade::{id, request},
    program::{self, arguments, aws, simulator},
};
use face_liveness_facade::{
    proto::face_liveness_service_client::FaceLivenessServiceClient,
    simulator::{Pace, Session, Simulator, Status},
};
use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStderr, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tonic::transport::Channel;

/// More lines than the pipe (64 KiB) and the program (4,096 lines) buffer together.
const LINES: u64 = 6_000;

/// How long startup and shutdown may take. Writing the last lines takes at most two seconds.
const LIMIT: Duration = Duration::from_secs(6);

/// A program whose log is read only up to the line with its addresses.
struct StalledProgram {
    child: Child,
    log: Option<BufReader<ChildStderr>>,
    client: FaceLivenessServiceClient<Channel>,
    admin_address: String,
    _simulator: Simulator,
}

impl StalledProgram {
    async fn start(flags: &[&str]) -> Self {
        let (simulator, endpoint) = simulator().await;
        simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
        let mut command = program::program(&arguments(flags));
        let mut child = command.envs(aws(&endpoint)).stdout(Stdio::null()).spawn().expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let listening: serde_json::Value = loop {
            let mut line = String::new();
            log.read_line(&mut line).expect("another line of the log");
            let line: serde_json::Value = serde_json::from_str(&line).expect("the log is JSON");
            if line["address"].is_string() {
                break line;
            }
        };
        let text = |name: &str| listening[name].as_str().expect("an address").to_owned();
        let client = FaceLivenessServiceClient::connect(format!("http://{}", text("address"))).await;
        let admin_address = text("admin_address");
        Self { child, log: Some(log), client: client.expect("it listens"), admin_address, _simulator: simulator }
    }

    /// Makes calls that log more lines than can be buffered.
    async fn fill_log(&mut self) {
        self.client.get_liveness_result(request(&id(1))).await.expect("a response");
        for _ in 0..LINES {
            let response = self.client.get_liveness_result(request("no id")).await;
            assert_eq!(response.expect_err("malformed").code(), tonic::Code::InvalidArgument);
        }
    }

    async fn lost(&self) -> f64 {
        let (_, metrics) = get(&self.admin_address, "/metrics").await;
        admin::value(&metrics, "face_liveness_log_lines_lost_total")
    }

    async fn terminate(&mut self) -> ExitStatus {
        program::signal(self.child.id(), "TERM");
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of this process") {
                return status;
            }
            assert!(started.elapsed() < LIMIT, "it does not exit");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for StalledProgram {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn a_stalled_log_reader_blocks_neither_calls_nor_probes_nor_shutdown() {
    let mut stalled = StalledProgram::start(&["--access-log", "all"]).await;
    stalled.fill_log().await;
    assert!(stalled.lost().await > 100.0, "{}", stalled.lost().await);
    stalled.client.get_liveness_result(request(&id(1))).await.expect("a cached response");
    assert_eq!(get(&stalled.admin_address, "/livez").await.0, 200);
    assert_eq!(stalled.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_log_reader_that_resumes_gets_whole_lines() {
    let mut stalled = StalledProgram::start(&["--access-log", "all"]).await;
    stalled.fill_log().await;
    let lost = stalled.lost().await;
    let log = stalled.log.take().expect("the log is taken once");
    let reader = std::thread::spawn(move || {
        log.lines().map_while(Result::ok).filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count()
    });
    assert_eq!(stalled.terminate().await.code(), Some(0));
    let read = reader.join().expect("the reader does not panic");
    assert!(read as f64 + lost >= LINES as f64, "{read} lines were read and {lost} lost");
}

#[tokio::test]
async fn a_server_with_closed_standard_error_serves() {
    let (simulator, endpoint) = simulator().await;
    simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    let port = program::free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut shell = std::process::Command::new("sh");
    let serve = format!("exec \"$0\" serve --listen {listen} --admin-listen 127.0.0.1:0 --drain-delay 0s 2>&-");
    shell.args(["-c", &serve]).arg(program::path()).env_clear().envs(aws(&endpoint)).stdout(Stdio::null());
    let mut child = shell.spawn().expect("sh is installed");
    let endpoint = Channel::from_shared(format!("http://{listen}")).expect("an address is a URI");
    let started = Instant::now();
    let channel = loop {
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(error) => assert!(started.elapsed() < LIMIT, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    FaceLivenessServiceClient::new(channel).get_liveness_result(request(&id(1))).await.expect("a response");
    program::signal(child.id(), "TERM");
    assert_eq!(child.wait().expect("a child of this process").code(), Some(0));
}
