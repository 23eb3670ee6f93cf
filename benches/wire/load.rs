//! h2load: the same request again and again, eighty at a time on eight connections.

use crate::process::{CALLER_CORE, Process};
use face_liveness_facade::proto::GetLivenessResultRequest;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const PATH: &str = "/faceliveness.v1.FaceLivenessService/GetLivenessResult";

/// A request as it stands on the wire, in a file, and how it is sent.
pub struct Load {
    pub file: PathBuf,
    pub requests: u32,
    pub connections: u32,
    pub streams: u32,
}

impl Load {
    pub fn new(folder: &Path, name: &str, request: &GetLivenessResultRequest, requests: u32) -> Self {
        let message = prost::Message::encode_to_vec(request);
        let head = [&[0][..], &u32::try_from(message.len()).expect("it is short").to_be_bytes()].concat();
        let file = folder.join(format!("{name}.request"));
        std::fs::write(&file, [head, message].concat()).expect("the folder is ours");
        Self { file, requests, connections: 8, streams: 10 }
    }

    /// Sends them all. h2load sees HTTP's status only: gRPC's is in the service's metrics.
    pub fn send(&self, server: &Process, requests: u32) {
        let numbers = [requests, self.connections, self.streams].map(|number| number.to_string());
        let output = Command::new("taskset")
            .args(["-c", CALLER_CORE, "h2load", "-n", &numbers[0], "-c", &numbers[1], "-m", &numbers[2]])
            .args(["-H", "te: trailers", "-H", "content-type: application/grpc", "-d"])
            .arg(&self.file)
            .arg(format!("http://{}{PATH}", server.address))
            .output()
            .expect("h2load is there: scripts/tools bench");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!("{requests} succeeded, 0 failed")), "not every request was answered:\n{text}");
    }

    /// The server's time on a processor per request, in microseconds.
    pub fn microseconds(&self, server: &Process) -> f64 {
        let before = server.cpu();
        self.send(server, self.requests);
        (server.cpu() - before).as_secs_f64() * 1e6 / f64::from(self.requests)
    }
}
