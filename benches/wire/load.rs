//! Sends a request repeatedly with h2load: 80 concurrent calls on eight connections.

use crate::process::{CALLER_CORE, Process};
use face_liveness_facade::proto::GetLivenessResultRequest;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const PATH: &str = "/faceliveness.v1.FaceLivenessService/GetLivenessResult";

/// A file with a request, and how h2load sends it.
pub struct Load {
    pub file: PathBuf,
    pub requests: u32,
    pub connections: u32,
    pub streams: u32,
}

impl Load {
    pub fn new(folder: &Path, name: &str, request: &GetLivenessResultRequest, requests: u32) -> Self {
        let message = prost::Message::encode_to_vec(request);
        let head = [&[0][..], &u32::try_from(message.len()).expect("the length fits 32 bits").to_be_bytes()].concat();
        let file = folder.join(format!("{name}.request"));
        std::fs::write(&file, [head, message].concat()).expect("the folder is writable");
        Self { file, requests, connections: 8, streams: 10 }
    }

    /// Sends the requests. h2load checks only the HTTP status. The gRPC codes are in the metrics of
    /// the service.
    pub fn send(&self, server: &Process, requests: u32) {
        let numbers = [requests, self.connections, self.streams].map(|number| number.to_string());
        let output = Command::new("taskset")
            .args(["-c", CALLER_CORE, "h2load", "-n", &numbers[0], "-c", &numbers[1], "-m", &numbers[2]])
            .args(["-H", "te: trailers", "-H", "content-type: application/grpc", "-d"])
            .arg(&self.file)
            .arg(format!("http://{}{PATH}", server.address))
            .output()
            .expect("h2load is installed: scripts/tools bench");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!("{requests} succeeded, 0 failed")), "not every request succeeded:\n{text}");
    }

    /// Returns the server's CPU time per request, in microseconds.
    pub fn microseconds(&self, server: &Process) -> f64 {
        let before = server.cpu();
        self.send(server, self.requests);
        (server.cpu() - before).as_secs_f64() * 1e6 / f64::from(self.requests)
    }
}
