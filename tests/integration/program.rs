//! The program itself, as an operator starts it, with its log.

use face_liveness_facade::simulator::Simulator;
use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::net::TcpListener;

/// The program that is tested: the one of this build, or the one that `TESTED_PROGRAM` names, such
/// as the release build.
pub fn path() -> PathBuf {
    std::env::var_os("TESTED_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_face-liveness-facade").into(), PathBuf::from)
}

/// Whether the program is one that users run, and not one of a debug build.
pub fn is_release() -> bool {
    std::env::var_os("TESTED_PROGRAM").is_some()
}

/// The program with nothing of this machine's AWS settings.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(path());
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
    /// Standard error and standard output.
    written: [Written; 2],
    /// How much of the log was there when it listened.
    head: usize,
}

/// What is written to a pipe, and who reads it.
struct Written(Arc<Mutex<Vec<u8>>>, Option<JoinHandle<()>>);

impl Running {
    /// Starts a `serve`, and reads its log until it says where it listens.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let (said, lines) = mpsc::channel();
        let log = Written::follow(child.stderr.take().expect("it is piped"), Some(said));
        let output = Written::follow(child.stdout.take().expect("it is piped"), None);
        let (mut warnings, mut head) = (Vec::new(), 0);
        let (address, admin_address) = loop {
            let line = lines.recv().expect("the log goes on");
            head += line.len();
            let event: serde_json::Value = serde_json::from_slice(&line).expect("the log is JSON");
            match &event["address"] {
                serde_json::Value::String(address) => {
                    break (address.clone(), event["admin_address"].as_str().expect("an admin port").to_owned());
                }
                _ => warnings.push(event["message"].as_str().unwrap_or_default().to_owned()),
            }
        };
        Self { child, address, admin_address, warnings, written: [log, output], head }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn signal(&self) {
        self.send("TERM");
    }

    /// Sends the signal of that name.
    pub fn send(&self, name: &str) {
        signal(self.pid(), name);
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
        self.memory("VmRSS:")
    }

    /// The most that its memory has been.
    pub fn peak(&self) -> usize {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of kB") * 1024
    }

    /// Waits for the end, and gives all that was ever written to standard error and standard
    /// output.
    pub fn into_written(mut self) -> (ExitStatus, Vec<u8>) {
        let status = self.child.wait().expect("it ends");
        let all = self.written.iter_mut().flat_map(Written::rest).collect();
        (status, all)
    }

    /// What it has logged since it listens.
    pub fn log(&self) -> String {
        let log = self.written[0].0.lock().expect("the reader does not panic");
        String::from_utf8_lossy(&log[self.head..]).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends a process of ours the signal of that name.
pub fn signal(process: u32, name: &str) {
    let kill = Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(kill.expect("there is kill").success());
}

/// A port that was free a moment ago, for a program that cannot say which one it has.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Starts `serve` with these flags and AWS settings.
pub fn serve(flags: &[&str], settings: &[(&str, &str)]) -> Running {
    Running::start(program(&arguments(flags)).envs(settings.iter().copied()))
}

/// Those of a `serve` that [`Running`] can follow.
pub fn arguments<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    let own = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"];
    [&own[..], &["--drain-delay", "0s"], flags].concat()
}

impl Written {
    /// Reads to the end: a pipe that nobody reads fills up and stops the program.
    fn follow(pipe: impl Read + Send + 'static, lines: Option<mpsc::Sender<Vec<u8>>>) -> Self {
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        let followed = Arc::clone(&written);
        let reader = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                followed.lock().expect("nobody panics with it").extend_from_slice(&line);
                let line = std::mem::take(&mut line);
                // Nobody listens any more once it is known where it listens.
                lines.as_ref().map(|lines| lines.send(line).ok());
            }
        });
        Self(written, Some(reader))
    }

    /// All of it, once the other end is closed.
    fn rest(&mut self) -> Vec<u8> {
        if let Some(reader) = self.1.take() {
            reader.join().expect("it does not panic");
        }
        std::mem::take(&mut self.0.lock().expect("nobody panics with it"))
    }
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

pub async fn simulator() -> (Simulator, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
    let simulator = Simulator::new(Default::default());
    tokio::spawn(simulator.clone().serve(listener, std::future::pending()));
    (simulator, endpoint)
}
