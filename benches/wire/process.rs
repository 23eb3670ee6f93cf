//! Starts a server as a process, and reads its CPU time and memory.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One worker has one core, and the callers the other. Two workers have both.
pub const SERVER_CORE: &str = "0";
pub const CALLER_CORE: &str = "1";
pub const BOTH_CORES: &str = "0,1";

const HANDLED: &str = r#"grpc_server_handled_total{grpc_code="OK",grpc_method="GetLivenessResult",grpc_service="faceliveness.v1.FaceLivenessService",grpc_type="unary"}"#;

pub struct Process {
    child: Child,
    pub address: String,
    admin_address: String,
    /// The time until it was ready.
    pub start: Duration,
}

/// Returns the path of the program: the one in `TESTED_PROGRAM`, as `make` builds it, or else the
/// one that Cargo builds for benchmarks, which has the features of the tests' dependencies.
pub fn program() -> String {
    std::env::var("TESTED_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_face-liveness-facade").to_owned())
}

/// How a server is started.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// The URL of the simulated AWS.
    pub endpoint: &'a str,
    pub workers: u32,
    /// A program that runs the server, with its arguments.
    pub under: &'a [&'a str],
}

impl Start<'_> {
    /// Starts the service with limits that the benchmark does not reach.
    pub fn service(self, flags: &[&str]) -> Process {
        let mut command = self.command(&program());
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"]);
        command.args(["--quota-tps", "0", "--image-ttl", "1h", "--max-connection-age", "0s", "--drain-delay", "0s"]);
        Process::start(command.args(flags), "ready")
    }

    /// Starts this program as a baseline.
    pub fn baseline(self, name: &str, argument: &str) -> Process {
        let this = std::env::current_exe().expect("this program is a file");
        let mut command = self.command(this.to_str().expect("its path is text"));
        Process::start(command.args(["--baseline", name, argument]), "listening")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", if self.workers == 1 { SERVER_CORE } else { BOTH_CORES }]).args(self.under).arg(program);
        command
            .env_clear()
            .env("TOKIO_WORKER_THREADS", self.workers.to_string())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs([("AWS_ENDPOINT_URL_REKOGNITION", self.endpoint), ("AWS_REGION", "us-east-1")])
            .envs([("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")]);
        command
    }
}

impl Process {
    fn start(command: &mut Command, ready: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().expect("taskset is installed, and the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
        let (mut address, mut admin_address) = (String::new(), String::new());
        for line in lines.by_ref() {
            let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            if let (Some(own), Some(admin)) = (event["address"].as_str(), event["admin_address"].as_str()) {
                (address, admin_address) = (own.to_owned(), admin.to_owned());
            }
            if event["message"] == ready {
                break;
            }
        }
        let start = began.elapsed();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, admin_address, start }
    }

    /// Returns the CPU time of all threads.
    pub fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("the process runs");
        let spent = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(spent.sum())
    }

    pub fn resident_bytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux reports VmRSS");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number of kB") * 1024.0
    }

    /// Returns the number of calls with status OK.
    pub async fn handled(&self) -> u64 {
        let mut stream = TcpStream::connect(&self.admin_address).await.expect("the admin port is open");
        let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.expect("the connection is open");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("metrics are text");
        let value = text.lines().find_map(|line| line.strip_prefix(HANDLED)?.strip_prefix(' '));
        value.expect("every series exists from the start").parse().expect("a whole number")
    }

    pub fn pipes(&mut self) -> (ChildStdin, BufReader<ChildStdout>) {
        let output = self.child.stdout.take().expect("it is piped, and taken once");
        (self.child.stdin.take().expect("it is piped, and taken once"), BufReader::new(output))
    }

    /// Restricts the process to these cores.
    pub fn pin(&self, cores: &str) {
        pin(self.child.id(), cores);
    }

    /// Sends SIGTERM, and waits until the process has exited.
    pub fn end(mut self) {
        let id = self.child.id().to_string();
        Command::new("kill").arg(id).status().expect("kill is installed");
        self.child.wait().expect("the process exits");
    }
}

/// Kills the server also when this program panics.
impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub fn pin(process: u32, cores: &str) {
    let taskset = Command::new("taskset").args(["-a", "-c", "-p", cores, &process.to_string()]).output();
    assert!(taskset.expect("taskset is installed").status.success());
}
