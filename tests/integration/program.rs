//! The program as a child process, with its log.

use face_liveness_facade::{
    proto::face_liveness_service_client::FaceLivenessServiceClient,
    simulator::{self, Simulator},
};
use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use tonic::transport::Channel;

/// Returns the path of the program under test: the debug build, unless `TESTED_PROGRAM` names
/// another one, such as the release build.
pub fn path() -> PathBuf {
    std::env::var_os("TESTED_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_face-liveness-facade").into(), PathBuf::from)
}

/// Returns whether the program under test is a release build.
pub fn is_release() -> bool {
    std::env::var_os("TESTED_PROGRAM").is_some()
}

/// Returns a command for the program without the environment of this machine.
pub fn program(arguments: &[&str]) -> Command {
    isolated(Command::new(path()), arguments)
}

/// Returns a command for a shell script, which has the program and its arguments as `"$@"`.
pub fn scripted(script: &str, arguments: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(path());
    isolated(shell, arguments)
}

fn isolated(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments).env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running program. It is killed when this is dropped.
pub struct Running {
    child: Child,
    pub address: String,
    pub admin_address: String,
    /// Warnings logged before it listened.
    pub warnings: Vec<String>,
    /// Standard error and standard output.
    output: [CapturedPipe; 2],
    /// Length of the log up to the line that it listens.
    startup_log: usize,
}

/// The bytes written to a pipe, and the thread that reads them.
struct CapturedPipe(Arc<Mutex<Vec<u8>>>, Option<JoinHandle<()>>);

impl Running {
    /// Starts a `serve`, and waits for the log line with its addresses.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let (sender, lines) = mpsc::channel();
        let log = CapturedPipe::read(child.stderr.take().expect("it is piped"), Some(sender));
        let output = CapturedPipe::read(child.stdout.take().expect("it is piped"), None);
        let (mut warnings, mut startup_log) = (Vec::new(), 0);
        let (address, admin_address) = loop {
            let line = lines.recv().expect("another line of the log");
            startup_log += line.len();
            let event: serde_json::Value = serde_json::from_slice(&line).expect("the log is JSON");
            match &event["address"] {
                serde_json::Value::String(address) => {
                    break (address.clone(), event["admin_address"].as_str().expect("an admin port").to_owned());
                }
                _ if event["level"] == "INFO" => {}
                _ => warnings.push(event["message"].as_str().unwrap_or_default().to_owned()),
            }
        };
        Self { child, address, admin_address, warnings, output: [log, output], startup_log }
    }

    /// Returns a client with a new connection to the gRPC port.
    pub async fn client(&self) -> FaceLivenessServiceClient<Channel> {
        let client = FaceLivenessServiceClient::connect(format!("http://{}", self.address)).await;
        client.expect("the program listens")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn send_sigterm(&self) {
        self.send_signal("TERM");
    }

    /// Sends the signal of this name.
    pub fn send_signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Sends SIGTERM, and waits until the program exits.
    pub fn terminate(&mut self) -> ExitStatus {
        self.send_sigterm();
        self.child.wait().expect("the program exits")
    }

    /// Waits until the program exits. Panics after twenty seconds.
    pub async fn wait_for_exit(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is a child of this process") {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "it does not exit; its log:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns the resident memory in bytes.
    pub fn resident(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// Returns the highest resident memory so far in bytes.
    pub fn peak(&self) -> usize {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux reports it");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of kB") * 1024
    }

    /// Waits until the program exits. Returns all that it wrote to standard error and standard
    /// output.
    pub fn into_output(mut self) -> (ExitStatus, Vec<u8>) {
        let status = self.child.wait().expect("the program exits");
        let all = self.output.iter_mut().flat_map(CapturedPipe::finish).collect();
        (status, all)
    }

    /// Returns the log since the program listens.
    pub fn log(&self) -> String {
        let log = self.output[0].0.lock().expect("no thread panics while holding the lock");
        String::from_utf8_lossy(&log[self.startup_log..]).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends the signal of this name to a child process.
pub fn signal(process: u32, name: &str) {
    let kill = Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(kill.expect("kill is installed").success());
}

/// Returns a port that was free just now, for a program that cannot report its port.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Returns an address where no server listens.
pub fn closed_port() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// Starts `serve` with these flags and AWS settings.
pub fn serve(flags: &[&str], settings: &[(&str, &str)]) -> Running {
    Running::start(program(&arguments(flags)).envs(settings.iter().copied()))
}

/// Returns the arguments of a `serve` whose log [`Running`] can parse.
pub fn arguments<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    let own = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"];
    [&own[..], &["--drain-delay", "0s"], flags].concat()
}

impl CapturedPipe {
    /// Reads until the pipe closes: an unread pipe fills up and blocks the program.
    fn read(pipe: impl Read + Send + 'static, lines: Option<mpsc::Sender<Vec<u8>>>) -> Self {
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let shared = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                shared.lock().expect("no thread panics while holding the lock").extend_from_slice(&line);
                let line = std::mem::take(&mut line);
                // Fails once the receiver is dropped, after the line with the addresses.
                lines.as_ref().map(|lines| lines.send(line).ok());
            }
        });
        Self(bytes, Some(reader))
    }

    /// Returns all bytes, once the program has closed the pipe.
    fn finish(&mut self) -> Vec<u8> {
        if let Some(reader) = self.1.take() {
            reader.join().expect("the reader does not panic");
        }
        std::mem::take(&mut self.0.lock().expect("no thread panics while holding the lock"))
    }
}

/// Returns the AWS settings of a program that reads from `endpoint`.
pub fn aws(endpoint: &str) -> [(&str, &str); 4] {
    [
        ("AWS_ENDPOINT_URL_REKOGNITION", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "any"),
        ("AWS_SECRET_ACCESS_KEY", "any"),
    ]
}

/// Starts a simulator. Returns it with its endpoint.
pub async fn simulator() -> (Simulator, String) {
    simulator_with(simulator::Config::default()).await
}

/// Starts a simulator with this configuration. Returns it with its endpoint.
pub async fn simulator_with(config: simulator::Config) -> (Simulator, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    let simulator = Simulator::new(config);
    tokio::spawn(simulator.clone().serve(listener, std::future::pending()));
    (simulator, endpoint)
}
