//! Compares a hit with a bare tonic method and a bare HTTP/2 server that send the same response,
//! and two workers with one.

use crate::{
    aws,
    load::Load,
    process::{Process, Start},
    readers,
    table::{Goal, median},
};
use std::path::Path;

/// The CPU time of a response in microseconds, of the service and of each baseline.
pub struct Hits {
    pub view: &'static str,
    pub service: f64,
    pub tonic: f64,
    pub hyper: f64,
    /// The median ratio of the service to bare tonic. Each round measures both, so that other load
    /// on the machine affects both.
    ratio: f64,
}

/// A round takes a third of a second, so that a short burst of other load is only a part of it.
const BASIC_REQUESTS: u32 = 27_000;
const FULL_REQUESTS: u32 = 2_000;
const ROUNDS: u32 = 15;

/// Longer, because two workers need time to settle.
const WORKERS_REQUESTS: u32 = 80_000;
const WORKERS_ROUNDS: u32 = 7;

pub async fn measure(folder: &Path, endpoint: &str) -> ([Hits; 2], Vec<Goal>) {
    let start = Start { endpoint, workers: 1, under: &[] };
    let service = start.service(&[]);
    let basic = view(folder, start, &service, "basic", (aws::id_without_images(0), 1), BASIC_REQUESTS).await;
    let full = view(folder, start, &service, "full", (aws::id_with_images(0), 3), FULL_REQUESTS).await;
    let goals = vec![
        Goal::new("a hit, basic view, against a bare tonic method", basic.ratio, 1.2, "×"),
        Goal::new("a hit with three images of 100 kB, likewise", full.ratio, 1.3, "×"),
        workers(folder, start, &service).await,
    ];
    ([basic, full], goals)
}

async fn view(
    folder: &Path,
    start: Start<'_>,
    service: &Process,
    view: &'static str,
    (id, number): (String, i32),
    requests: u32,
) -> Hits {
    let request = readers::request(id, number);
    let mut client = readers::client(service).await;
    readers::read(&mut client, request.clone()).await;
    let response = folder.join(format!("{view}.response"));
    let cached = readers::read(&mut client, request.clone()).await;
    std::fs::write(&response, prost::Message::encode_to_vec(&cached)).expect("the folder is writable");
    let response = response.to_str().expect("its path is text");
    let servers = [&start.baseline("bare-hyper", response), &start.baseline("bare-tonic", response), service];
    let load = Load::new(folder, view, &request, requests);
    let handled = service.handled().await;
    servers.iter().for_each(|server| load.send(server, requests / 4));
    let mut spent = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        servers.iter().zip(&mut spent).for_each(|(server, spent)| spent.push(load.microseconds(server)));
    }
    let expected = u64::from(requests / 4 + requests * ROUNDS);
    assert_eq!(service.handled().await - handled, expected, "not every response was OK");
    let ratio = median(spent[2].iter().zip(&spent[1]).map(|(service, tonic)| service / tonic).collect());
    let [hyper, tonic, service] = spent.map(median);
    eprintln!("{view}: bare HTTP/2 {hyper:.1} µs, bare tonic {tonic:.1} µs, the service {service:.1} µs");
    Hits { view, service, tonic, hyper, ratio }
}

/// Compares two workers on both cores with one. The callers share a core with them, so contention
/// shows.
async fn workers(folder: &Path, start: Start<'_>, one: &Process) -> Goal {
    let two = Start { workers: 2, ..start }.service(&[]);
    let request = readers::request(aws::id_without_images(0), 1);
    readers::read(&mut readers::client(&two).await, request.clone()).await;
    let load = Load::new(folder, "workers", &request, WORKERS_REQUESTS);
    let mut spent = [const { Vec::new() }; 2];
    for _ in 0..WORKERS_ROUNDS {
        [one, &two].iter().zip(&mut spent).for_each(|(server, spent)| spent.push(load.microseconds(server)));
    }
    let ratio = median(spent[1].iter().zip(&spent[0]).map(|(two, one)| two / one).collect());
    let [one, two] = spent.map(median);
    eprintln!("one worker {one:.1} µs, two workers {two:.1} µs");
    Goal::new("a hit with two workers, against one", ratio, 1.15, "×")
}
