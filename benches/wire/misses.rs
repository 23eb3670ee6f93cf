//! Measures the CPU time of a miss, beyond the AWS SDK's for the same call. One caller makes one
//! call at a time.

use crate::{
    aws,
    process::Start,
    readers,
    table::{Goal, ROUNDS, median},
};
use std::io::{BufRead, Write};

const READS: usize = 1_500;

pub async fn measure(endpoint: &str) -> Goal {
    let start = Start { endpoint, workers: 1, under: &[] };
    let service = start.service(&["--image-cache-size=2GiB"]);
    let mut sdk = start.baseline("bare-sdk", "");
    let (mut input, mut output) = sdk.pipes();
    let mut client = readers::client(&service).await;
    let mut spent = [const { Vec::new() }; 2];
    for round in 0..=ROUNDS as usize {
        let ids: Vec<_> = (0..READS).map(|number| aws::id_without_images(round * READS + number)).collect();
        let before = [sdk.cpu(), service.cpu()];
        for id in &ids {
            writeln!(input, "{id}").expect("the process reads");
            output.read_line(&mut String::new()).expect("the process prints a line per read");
        }
        for id in ids {
            readers::read(&mut client, readers::request(id, 1)).await;
        }
        let after = [sdk.cpu(), service.cpu()];
        // The first round warms up.
        for (spent, (after, before)) in spent.iter_mut().zip(after.into_iter().zip(before)).filter(|_| round > 0) {
            spent.push((after - before).as_secs_f64() * 1e6 / READS as f64);
        }
    }
    let [sdk, service] = spent.map(median);
    eprintln!("a miss: the AWS SDK {sdk:.0} µs, the service {service:.0} µs");
    Goal::new("a miss, beyond the AWS SDK's own time", service - sdk, 150.0, "µs")
}
