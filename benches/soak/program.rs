//! The program under test, in a process of its own, and what the system and its admin port tell of
//! it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Caches that are full within the warm-up, so that what grows after it is no cache; a quota that
/// is no bottleneck but when AWS throttles; and connections that end and begin anew all the time.
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
    /// Lines of its log that nothing here explains.
    complaints: Arc<Mutex<Vec<String>>>,
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
        let (address, admin_address) = addresses.expect("it says where it listens");
        let complaints: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&complaints);
        std::thread::spawn(move || {
            for line in lines {
                // A panic is no JSON.
                if value(&line, "level").is_none_or(|level| level == "ERROR") {
                    heard.lock().expect("nobody panics with it").push(format!("it logged: {line}"));
                }
            }
        });
        Self { child, address: format!("http://{address}"), admin_address, complaints }
    }

    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse().expect("a number of kB")
    }

    pub fn descriptors(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count() as u64
    }

    /// The values of these metrics.
    pub async fn metrics<const N: usize>(&self, names: [&str; N]) -> [u64; N] {
        let mut stream = TcpStream::connect(&self.admin_address).await.expect("the admin port is open");
        let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.expect("it is open");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("it is text");
        names.map(|name| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.expect("every series is there from the start").parse().expect("a whole number")
        })
    }

    /// Nothing, when all is well.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().expect("nobody panics with it").clone()
    }

    pub fn end(&mut self) {
        self.child.kill().expect("it is ours to end");
        self.child.wait().expect("it ends");
    }
}
