//! Measures the delay between the end of a session and the callers' final response, with AWS quotas
//! of 25 and 5 reads per second.
//!
//! The same callers read the same simulated sessions with the AWS SDK (standard and adaptive
//! retries) and with this service (polling and waiting). Prints a table, checks the goals, and
//! draws
//! `docs/throttling.svg`.

mod callers;
mod chart;
#[path = "../../tests/integration/redis.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod redis;
mod report;
mod scenario;

use report::Measurement;
use scenario::{Account, Scenario, Setup};
use tokio::task::JoinSet;

/// Runs of the service, of which the table shows the median. The SDK runs once, for comparison.
const ROUNDS: u64 = 3;

#[tokio::main]
async fn main() {
    // `cargo test --benches` passes `--test`, and must not take minutes.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let mut measurements = direct().await;
    for round in 1..=ROUNDS {
        eprintln!("the service, round {round} of {ROUNDS}");
        measurements.extend(service(round).await);
    }
    let rows = report::medians(measurements);
    println!("{}", report::table(&rows));
    chart::draw(&rows, "docs/throttling.svg").expect("docs/ can be written to");
    let missed = report::missed_goals(&rows);
    for sentence in &missed {
        println!("MISSED: {sentence}");
    }
    std::process::exit(i32::from(!missed.is_empty()));
}

/// Runs the AWS SDK without this service, concurrently, each against its own simulator.
async fn direct() -> Vec<Measurement> {
    eprintln!("the AWS SDK without this service");
    let mut runs = JoinSet::new();
    for setup in [Setup::SdkStandard, Setup::SdkAdaptive] {
        for scenario in [Scenario::EvenFinish, Scenario::RealChecks] {
            for account in [Account::LARGE, Account::SMALL] {
                runs.spawn(callers::run(scenario, account, setup, 0));
            }
        }
    }
    runs.join_all().await
}

async fn service(round: u64) -> Vec<Measurement> {
    let mut runs = JoinSet::new();
    for setup in [Setup::Polling, Setup::Waiting] {
        for scenario in [Scenario::EvenFinish, Scenario::RealChecks] {
            for account in [Account::LARGE, Account::SMALL] {
                runs.spawn(callers::run(scenario, account, setup, round));
            }
        }
    }
    runs.spawn(callers::run(Scenario::EvenFinish, Account::LARGE, Setup::WaitingWithQuadrupleQuota, round));
    runs.spawn(callers::run(Scenario::EvenFinish, Account::SMALL, Setup::WaitingWithQuadrupleQuota, round));
    let mut measurements = runs.join_all().await;
    // Concurrently, so that both run under the same conditions.
    let mut runs = JoinSet::new();
    for setup in [Setup::WaitingOnSharingReplicas, Setup::WaitingOnSeparateReplicas] {
        for scenario in [Scenario::EvenFinish, Scenario::RealChecks] {
            runs.spawn(callers::run(scenario, Account::LARGE, setup, round));
        }
    }
    measurements.extend(runs.join_all().await);
    measurements
}
