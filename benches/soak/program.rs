//! Starts the program, and reads its memory, descriptors, metrics and log.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The caches fill up during the warm-up, so that later growth is a leak. The quota matters only
/// while AWS throttles. Connections end often.
const FLAGS: [&str; 16] = [
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--admin-listen",
    "127.0.0.1:0",
    "--log-format",
    "json",
    "--result-cache-entries",
    "1000",
    "--image-cache-size",
    "8MiB",
    "--quota-tps",
    "300",
    "--max-connection-age",
    "20s",
    "--not-found-ttl=1s",
];

pub struct Program {
    child: Child,
    pub address: String,
    admin_address: String,
    /// Log lines of level ERROR, and panics.
    logged_errors: Arc<Mutex<Vec<String>>>,
}

impl Program {
    pub fn start(endpoint: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_face-liveness-facade"))
            .args(FLAGS)
            .env_clear()
            .envs([("AWS_ENDPOINT_URL_REKOGNITION", endpoint), ("AWS_REGION", "us-east-1")])
            .envs([("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
        let value = |line: &str, name: &str| -> Option<String> {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(event[name].as_str()?.to_owned())
        };
        let addresses = lines.find_map(|line| Some((value(&line, "address")?, value(&line, "admin_address")?)));
        let (address, admin_address) = addresses.expect("the log has the addresses");
        let logged_errors: Arc<Mutex<Vec<String>>> = Arc::default();
        let collected = Arc::clone(&logged_errors);
        std::thread::spawn(move || {
            for line in lines {
                // A panic message is not JSON.
                if value(&line, "level").is_none_or(|level| level == "ERROR") {
                    collected
                        .lock()
                        .expect("no code panics while it holds this lock")
                        .push(format!("it logged: {line}"));
                }
            }
        });
        Self { child, address: format!("http://{address}"), admin_address, logged_errors }
    }

    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux reports VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number of kB")
    }

    pub fn descriptors(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the process runs").count() as u64
    }

    /// Returns the values of metrics.
    pub async fn metrics<const N: usize>(&self, names: [&str; N]) -> [u64; N] {
        let mut stream = TcpStream::connect(&self.admin_address).await.expect("the admin port is open");
        let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.expect("the connection is open");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("metrics are text");
        names.map(|name| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.expect("every series exists from the start").parse().expect("a whole number")
        })
    }

    /// Returns the logged errors.
    pub fn logged_errors(&self) -> Vec<String> {
        self.logged_errors.lock().expect("no code panics while it holds this lock").clone()
    }

    pub fn end(&mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process exits");
    }
}
