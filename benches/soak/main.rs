//! Checks that memory, descriptors and errors stay within limits over time.
//!
//! Runs the program as a separate process for ten minutes or `SOAK_SECONDS`, with every kind of
//! caller, while the simulated AWS has every kind of outage in turn. Linux only: it reads `/proc`.

mod callers;
mod program;
mod report;
mod samples;
mod upstream;

use callers::Callers;
use program::Program;
use report::Report;
use samples::Samples;
use std::{sync::Arc, time::Duration};
use upstream::Upstream;

const DEFAULT_SECONDS: u64 = 600;

/// By then, the caches are full and every outage has happened once, so memory is stable.
const WARM_UP: Duration = Duration::from_secs(150);

const SAMPLE_PERIOD: Duration = Duration::from_secs(5);

/// After the callers stop, polls of their sessions continue until those are final, which takes
/// seconds.
const MAX_DRAIN: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let seconds = std::env::var("SOAK_SECONDS").ok().map(|text| text.parse().expect("SOAK_SECONDS is a number"));
    let whole = Duration::from_secs(seconds.unwrap_or(DEFAULT_SECONDS));
    let warm_up = WARM_UP.min(whole / 2);
    let report = Arc::new(Report::default());
    let upstream = Upstream::start(Arc::clone(&report)).await;
    let mut program = Program::start(&upstream.endpoint());
    let callers = Callers::start(program.address.clone(), upstream.simulator.clone(), Arc::clone(&report));
    let mut samples = Samples::new(warm_up);
    let outages = tokio::spawn(upstream.clone().run_outages());
    while samples.elapsed() < whole {
        tokio::time::sleep(SAMPLE_PERIOD.min(whole - samples.elapsed())).await;
        let sample = samples.take(&program).await;
        println!("{sample}, {}", report.line());
    }
    outages.abort();
    upstream.end_outage();
    callers.stop().await;
    let left = samples.drain(&program, MAX_DRAIN).await;
    println!("\n{}\n{}", report.table(), samples.table(&left));
    let failed = [report.unexplained(), samples.broken_rules(&left), program.logged_errors()].concat();
    for sentence in &failed {
        println!("FAILED: {sentence}");
    }
    program.end();
    std::process::exit(i32::from(!failed.is_empty()));
}
