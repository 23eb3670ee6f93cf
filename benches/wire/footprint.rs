//! How much memory the service takes, how soon it is there, and how large its file is.

use crate::{
    aws,
    process::{Process, Start},
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
const PICTURED: usize = 1_000;
const PAGE: usize = 4096;

/// The preface and settings of none, as RFC 9113 has them; the server's own settings are longer.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub async fn measure(folder: &Path, endpoint: &str) -> Vec<Goal> {
    let start = Start { endpoint, workers: 2, under: &[] };
    let starts = (0..STARTS).map(|_| start.service(&[]).start.as_secs_f64() * 1e3).collect();
    let service = start.service(&["--max-connections=20000"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = service.resident_bytes();
    let connected = connected(&service).await;
    vec![
        Goal::new("from exec to SERVING", median(starts), 150.0, "ms"),
        Goal::new("an idle server, resident", idle / MIB, 20.0, "MiB"),
        Goal::new("ten thousand idle connections, resident in all", connected / MIB, 300.0, "MiB"),
        images(start).await,
        Goal::new("the program, simulator included, stripped", stripped(folder) / 1e6, 20.0, "MB"),
    ]
}

async fn connected(service: &Process) -> f64 {
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(&service.address).await.expect("more open files: ulimit -n 20000");
        stream.write_all(HELLO).await.expect("it is open");
        stream.read_exact(&mut [0; 9]).await.expect("it answers");
        connections.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    service.resident_bytes()
}

/// What a result with images takes beyond its bytes. Each image has pages of its own, so that its
/// memory is the system's again when it leaves.
async fn images(start: Start<'_>) -> Goal {
    let service = start.service(&["--image-cache-size=1GiB"]);
    // What AWS's answers take while they are read stays.
    readers::read_all(&service, (0..PICTURED).map(aws::pictured)).await;
    let before = service.resident_bytes();
    readers::read_all(&service, (PICTURED..2 * PICTURED).map(aws::pictured)).await;
    let pages = 3 * aws::IMAGE_BYTES.next_multiple_of(PAGE);
    let each = (service.resident_bytes() - before) / PICTURED as f64 - pages as f64;
    Goal::new("a cached result with three images, beyond their pages", each / 1000.0, 1.0, "kB")
}

fn stripped(folder: &Path) -> f64 {
    let copy = folder.join("stripped");
    let strip = Command::new("strip").arg("-o").arg(&copy).arg(env!("CARGO_BIN_EXE_face-liveness-facade")).status();
    assert!(strip.expect("strip is there: binutils").success());
    std::fs::metadata(copy).expect("it is there").len() as f64
}
