//! The program with its own folders, a trace collector and a simulated AWS. Records everything that it
//! writes and sends.

use super::received::Received;
use crate::{
    program::{Running, arguments, program},
    traces::collector::Collector,
};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::spawn_blocking,
};
use tonic::transport::{Channel, ClientTlsConfig};

/// The folders where a program might write by default.
const FOLDERS: [(&str, &str); 7] = [
    ("HOME", "home"),
    ("TMPDIR", "tmp"),
    ("XDG_CACHE_HOME", "cache"),
    ("XDG_CONFIG_HOME", "config"),
    ("XDG_DATA_HOME", "data"),
    ("XDG_RUNTIME_DIR", "runtime"),
    ("XDG_STATE_HOME", "state"),
];

/// The resource limits of the program.
#[derive(Clone, Copy, PartialEq)]
pub enum Limits {
    /// SIGXFSZ ends the program when it writes to a file.
    NoFileWrites,
    /// A core dump may be as large as the machine allows.
    CoreDump,
}

pub struct WatchedProgram {
    pub running: Running,
    pub received: Received,
    folder: Folder,
    collector: Collector,
    observed: Observed,
}

/// All that the program wrote and sent, without responses, and how much was observed.
#[derive(Default)]
pub struct Observed {
    pub log: Vec<u8>,
    pub pages: Vec<u8>,
    pub scrapes: usize,
    pub traces: Vec<u8>,
    pub spans: usize,
    pub disk: Disk,
}

#[derive(Default)]
pub struct Disk {
    pub folders: usize,
    /// Programs that a file write would have ended.
    pub confined: usize,
    /// How often open files were listed: zero where they are not visible.
    pub looks: usize,
    /// Violations: created files, and files open for writing.
    pub found: Vec<String>,
}

impl WatchedProgram {
    /// Starts the program with the most verbose logs and traces.
    pub async fn start(limits: Limits, aws: &str, flags: &[&str], received: &Received) -> Self {
        let (collector, endpoint) = Collector::start().await;
        let folder = Folder::new();
        let flags = [&["--log-level", "trace", "--access-log", "all"], flags].concat();
        let program = program(&arguments(&flags));
        let limit = match limits {
            Limits::NoFileWrites => "ulimit -f 0",
            Limits::CoreDump => r#"ulimit -c "$(ulimit -Hc)""#,
        };
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!(r#"{limit}; exec "$0" "$@""#)])
            .arg(program.get_program())
            .args(program.get_args())
            .env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir(folder.0.join("work"));
        command.envs(FOLDERS.map(|(name, of)| (name, folder.0.join(of))));
        command.envs(crate::program::aws(aws)).envs([
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ]);
        let running = spawn_blocking(move || Running::start(&mut command)).await.expect("the program starts");
        let disk = Disk { confined: usize::from(limits == Limits::NoFileWrites), ..Disk::default() };
        Self {
            running,
            received: received.clone(),
            folder,
            collector,
            observed: Observed { disk, ..Observed::default() },
        }
    }

    pub fn channel(&self, tls: Option<ClientTlsConfig>) -> Channel {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = Channel::from_shared(format!("{scheme}://{}", self.running.address)).expect("an address");
        let endpoint = match tls {
            Some(tls) => endpoint.tls_config(tls).expect("valid certificates"),
            None => endpoint,
        };
        endpoint.connect_lazy()
    }

    /// Scrapes the admin port, and lists the open files.
    pub async fn observe(&mut self) {
        for path in ["/", "/metrics", "/livez", "/readyz"] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            let page = exchange(&self.running.admin_address, request.as_bytes()).await;
            assert!(page.starts_with(b"HTTP/1.1 200") || path == "/readyz", "{path} is served");
            self.observed.pages.extend(page);
        }
        self.observed.scrapes += 1;
        match open_files(self.running.pid()) {
            Ok(files) => self.observed.disk.found.extend(files),
            // Only root sees the open files of a process without core dumps, and only on Linux.
            Err(_) => return,
        }
        self.observed.disk.looks += 1;
    }

    /// Sends this signal, and waits until the program exits.
    pub async fn stop(mut self, signal: &str) -> (ExitStatus, Observed) {
        self.observe().await;
        self.running.send_signal(signal);
        let Self { running, folder, collector, mut observed, .. } = self;
        let (status, log) = spawn_blocking(|| running.into_output()).await.expect("the program exits");
        (observed.log, observed.traces) = (log, collector.bytes());
        observed.spans = collector.spans(SpanKind::Server).len() + collector.spans(SpanKind::Client).len();
        observed.disk.folders = FOLDERS.len() + 1;
        let created = files(&folder.0).into_iter().map(|file| format!("{} was created", file.display()));
        observed.disk.found.extend(created);
        (status, observed)
    }
}

impl Observed {
    pub fn and(mut self, other: Self) -> Self {
        self.log.extend(other.log);
        self.pages.extend(other.pages);
        self.traces.extend(other.traces);
        self.scrapes += other.scrapes;
        self.spans += other.spans;
        self.disk.folders += other.disk.folders;
        self.disk.confined += other.disk.confined;
        self.disk.looks += other.disk.looks;
        self.disk.found.extend(other.disk.found);
        self
    }
}

/// Sends these bytes to a port, and returns everything it sends until it closes the connection.
pub async fn exchange(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let mut received = Vec::new();
    // The server may close or reset the connection before it has read everything.
    stream.write_all(bytes).await.ok();
    stream.read_to_end(&mut received).await.ok();
    received
}

/// A new folder with empty [`FOLDERS`] and a working directory. It is removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("privacy-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name));
        for name in FOLDERS.iter().map(|(_, name)| *name).chain(["work"]) {
            fs::create_dir_all(folder.0.join(name)).expect("cargo created the folder");
        }
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a readable entry").path());
    entries.flat_map(|entry| if entry.is_dir() { files(&entry) } else { vec![entry] }).collect()
}

/// Lists the files that a process has open for writing.
fn open_files(pid: u32) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?.path();
        // The file may be closed meanwhile.
        let (Ok(target), Ok(metadata)) = (fs::read_link(&entry), fs::metadata(&entry)) else { continue };
        let info = fs::read_to_string(entry.to_string_lossy().replace("/fd/", "/fdinfo/")).unwrap_or_default();
        let flags = info.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        // O_WRONLY and O_RDWR.
        if metadata.is_file() && flags.is_none_or(|flags| flags & 0b11 != 0) {
            found.push(format!("{} was open for writing", target.display()));
        }
    }
    Ok(found)
}
