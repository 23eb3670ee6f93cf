//! Does the service stay as it is, however long it runs, whatever its callers do and whatever AWS
//! does?
//!
//! The program itself, in a process of its own, for ten minutes or `SOAK_SECONDS`: every kind of
//! caller at once, an AWS that fails in every way in turn, and counts of what was answered, of
//! memory and of descriptors. Linux only: it reads `/proc`.

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

/// The caches are full by then, and every trouble has happened once: memory is what it will be.
const WARM_UP: Duration = Duration::from_secs(150);

const SAMPLE_PERIOD: Duration = Duration::from_secs(5);

/// When all callers have gone, the sessions that some of them left are still read to their end,
/// which takes seconds.
const AFTERMATH: Duration = Duration::from_secs(60);

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
    let troubles = tokio::spawn(upstream.clone().trouble());
    while samples.elapsed() < whole {
        tokio::time::sleep(SAMPLE_PERIOD.min(whole - samples.elapsed())).await;
        let sample = samples.take(&program).await;
        println!("{sample}, {}", report.line());
    }
    troubles.abort();
    upstream.calm();
    callers.stop().await;
    let left = samples.aftermath(&program, AFTERMATH).await;
    println!("\n{}\n{}", report.table(), samples.table(&left));
    let failed = [report.unexplained(), samples.broken_rules(&left), program.complaints()].concat();
    for sentence in &failed {
        println!("FAILED: {sentence}");
    }
    program.end();
    std::process::exit(i32::from(!failed.is_empty()));
}
