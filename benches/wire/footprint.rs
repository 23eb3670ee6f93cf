//! Measures memory, the time to start, and the size of the program.

use crate::{
    aws,
    process::{self, Process, Start},
    readers,
    table::{Goal, median},
};
use std::{path::Path, process::Command, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const MIB: f64 = 1024.0 * 1024.0;
const STARTS: usize = 9;
const CONNECTIONS: usize = 10_000;
const SESSIONS: usize = 1_000;
const PAGE: usize = 4096;

/// The HTTP/2 connection preface of RFC 9113, and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub async fn measure(folder: &Path, endpoint: &str) -> Vec<Goal> {
    let start = Start { endpoint, workers: 2, under: &[] };
    let starts = (0..STARTS).map(|_| start.service(&[]).start.as_secs_f64() * 1e3).collect();
    let service = start.service(&["--max-connections=20000"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = service.resident_bytes();
    let connected = with_idle_connections(&service).await;
    vec![
        Goal::new("from exec to SERVING", median(starts), 150.0, "ms"),
        Goal::new("an idle server, resident", idle / MIB, 20.0, "MiB"),
        Goal::new("ten thousand idle connections, resident in total", connected / MIB, 300.0, "MiB"),
        images(start).await,
        Goal::new("the program, simulator included, stripped", stripped(folder) / 1e6, 20.0, "MB"),
    ]
}

async fn with_idle_connections(service: &Process) -> f64 {
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(&service.address).await.expect("more open files: ulimit -n 20000");
        stream.write_all(PREFACE).await.expect("the connection is open");
        stream.read_exact(&mut [0; 9]).await.expect("the server responds");
        connections.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    service.resident_bytes()
}

/// Measures the memory of a result with images, beyond the images. Each image has its own pages, so
/// that eviction returns its memory to the system.
async fn images(start: Start<'_>) -> Goal {
    let service = start.service(&["--image-cache-size=1GiB"]);
    // Warms up: the allocator keeps the memory of buffers for AWS's responses.
    readers::read_all(&service, (0..SESSIONS).map(aws::id_with_images)).await;
    let before = service.resident_bytes();
    readers::read_all(&service, (SESSIONS..2 * SESSIONS).map(aws::id_with_images)).await;
    let pages = 3 * aws::IMAGE_BYTES.next_multiple_of(PAGE);
    let each = (service.resident_bytes() - before) / SESSIONS as f64 - pages as f64;
    Goal::new("a cached result with three images, beyond their pages", each / 1000.0, 1.0, "kB")
}

fn stripped(folder: &Path) -> f64 {
    let copy = folder.join("stripped");
    let strip = Command::new("strip").arg("-o").arg(&copy).arg(process::program()).status();
    assert!(strip.expect("strip of binutils is installed").success());
    std::fs::metadata(copy).expect("the copy exists").len() as f64
}
