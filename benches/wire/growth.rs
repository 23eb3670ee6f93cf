//! Compares a hit among a million cached results with one among a hundred, and measures the memory
//! of a result.

use crate::{
    aws,
    process::{BOTH_CORES, CALLER_CORE, Process, SERVER_CORE, Start, pin},
    readers,
    table::{Goal, ROUNDS, median},
};

const FEW: usize = 100;
const MANY: usize = 1_000_000;
const READS: usize = 60_000;
/// The length of a response on the wire.
const RESULT_BYTES: f64 = 137.0;

pub async fn measure(endpoint: &str) -> Vec<Goal> {
    let start = Start { endpoint, workers: 2, under: &[] };
    let (few, many) = (start.service(&[]), start.service(&["--result-cache-entries=1100000"]));
    pin(std::process::id(), BOTH_CORES);
    for service in [&few, &many] {
        readers::read_all(service, (0..FEW).map(aws::id_without_images)).await;
    }
    let before = many.resident_bytes();
    readers::read_all(&many, (FEW..MANY).map(aws::id_without_images)).await;
    let each = (many.resident_bytes() - before) / (MANY - FEW) as f64 - RESULT_BYTES;
    pin(std::process::id(), CALLER_CORE);
    let mut spent = [const { Vec::new() }; 2];
    for service in [&few, &many] {
        service.pin(SERVER_CORE);
    }
    for round in 0..=ROUNDS {
        for (spent, (service, sessions)) in spent.iter_mut().zip([(&few, FEW), (&many, MANY)]) {
            let microseconds = read_random(service, sessions, u64::from(round)).await;
            // The first round warms up.
            spent.extend((round > 0).then_some(microseconds));
        }
    }
    let [few, many] = spent.map(median);
    eprintln!("among {FEW} results {few:.1} µs, among {MANY} {many:.1} µs");
    vec![
        Goal::new("a hit among 1,000,000 results, against 100", many / few, 1.1, "×"),
        Goal::new("a cached result without images, beyond its bytes", each / 1000.0, 1.0, "kB"),
    ]
}

/// Reads random sessions, and returns the CPU time of a read in microseconds.
async fn read_random(service: &Process, sessions: usize, seed: u64) -> f64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let before = service.cpu();
    readers::read_all(service, (0..READS).map(move |_| aws::id_without_images(random.usize(..sessions)))).await;
    (service.cpu() - before).as_secs_f64() * 1e6 / READS as f64
}
