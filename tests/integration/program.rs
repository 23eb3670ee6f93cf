//! The program itself, as an operator starts it, with its log.

use face_liveness_facade::simulator::Simulator;
use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;

/// The program with nothing of this machine's AWS settings.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_face-liveness-facade"));
    command.args(arguments).env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running program, ended with the test.
pub struct Running {
    child: Child,
    pub address: String,
    pub admin_address: String,
    /// What it said before it listened.
    pub warnings: Vec<String>,
    log: Arc<Mutex<String>>,
}

impl Running {
    /// Sends SIGTERM.
    pub fn signal(&self) {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(kill.expect("there is kill").success());
    }

    /// Sends SIGTERM, and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal();
        self.child.wait().expect("it ends")
    }

    /// Waits for the end, for twenty seconds at most.
    pub async fn end(&mut self) -> ExitStatus {
        for _ in 0..4000 {
            if let Some(status) = self.child.try_wait().expect("it can be asked for") {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it never ended; its log:\n{}", self.log());
    }

    /// Its memory in bytes, as Linux counts it.
    pub fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of kB") * 1024
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.log.lock().expect("the reader does not panic").clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts `serve` with these flags and AWS settings, and reads its log until it says where it listens.
pub fn serve(flags: &[&str], settings: &[(&str, &str)]) -> Running {
    let own = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"];
    let arguments = [&own[..], &["--drain-delay", "0s"], flags].concat();
    let mut child = program(&arguments).envs(settings.iter().copied()).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let mut warnings = Vec::new();
    let (address, admin_address) = loop {
        let line = lines.next().expect("the log goes on").expect("the log is text");
        let event: serde_json::Value = serde_json::from_str(&line).expect("the log is JSON");
        match &event["address"] {
            serde_json::Value::String(address) => {
                break (address.clone(), event["admin_address"].as_str().expect("an admin port").to_owned());
            }
            _ => warnings.push(event["message"].as_str().unwrap_or_default().to_owned()),
        }
    };
    let log = Arc::default();
    follow(lines, Arc::clone(&log));
    Running { child, address, admin_address, warnings, log }
}

/// AWS's settings for a program that reads from `endpoint`.
pub fn aws(endpoint: &str) -> [(&str, &str); 4] {
    [
        ("AWS_ENDPOINT_URL_REKOGNITION", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "any"),
        ("AWS_SECRET_ACCESS_KEY", "any"),
    ]
}

/// Reads to the end: a pipe that nobody reads fills up and stops the program.
fn follow(lines: std::io::Lines<BufReader<ChildStderr>>, log: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let mut log = log.lock().expect("nobody panics with it");
            log.push_str(&line);
            log.push('\n');
        }
    });
}

pub async fn simulator() -> (Simulator, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    let simulator = Simulator::new(Default::default());
    tokio::spawn(simulator.clone().serve(listener, std::future::pending()));
    (simulator, endpoint)
}
