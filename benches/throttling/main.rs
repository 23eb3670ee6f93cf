//! How late do callers learn that a session has finished, when AWS grants 25 (or 5) reads a second?
//!
//! The same callers, against the same simulated AWS: by the AWS SDK directly, with its standard and
//! its adaptive retries, and by this service, polling and waiting. Prints a table, holds it against
//! the goals, and draws the delays as `docs/throttling.svg`.

mod callers;
mod chart;
#[path = "../../tests/integration/redis.rs"]
#[expect(dead_code, reason = "tests do more with a store than start it")]
mod redis;
mod report;
mod scenario;

use callers::By;
use report::Outcome;
use scenario::{Account, Scenario};
use tokio::task::JoinSet;

/// The service's rows are the median of so many runs; the SDK's show what the service is for, and
/// one run does.
const ROUNDS: u64 = 3;

#[tokio::main]
async fn main() {
    // `cargo bench` passes flags of its own, and `cargo test --benches` must not take minutes.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let mut outcomes = direct().await;
    for round in 1..=ROUNDS {
        eprintln!("the service, round {round} of {ROUNDS}");
        outcomes.extend(service(round).await);
    }
    let rows = report::medians(outcomes);
    println!("{}", report::table(&rows));
    chart::draw(&rows, "docs/throttling.svg").expect("docs/ can be written to");
    let missed = report::missed_goals(&rows);
    for sentence in &missed {
        println!("MISSED: {sentence}");
    }
    std::process::exit(i32::from(!missed.is_empty()));
}

/// The AWS SDK without this service, all at once: each has an AWS of its own, and they cost little.
async fn direct() -> Vec<Outcome> {
    eprintln!("the AWS SDK, directly");
    let mut runs = JoinSet::new();
    for by in [By::SdkStandard, By::SdkAdaptive] {
        for scenario in [Scenario::EvenFinish, Scenario::RealChecks] {
            for account in [Account::LARGE, Account::SMALL] {
                runs.spawn(callers::run(scenario, account, by, 0));
            }
        }
    }
    runs.join_all().await
}

async fn service(round: u64) -> Vec<Outcome> {
    let mut runs = JoinSet::new();
    for by in [By::Polling, By::Waiting] {
        for scenario in [Scenario::EvenFinish, Scenario::RealChecks] {
            for account in [Account::LARGE, Account::SMALL] {
                runs.spawn(callers::run(scenario, account, by, round));
            }
        }
    }
    runs.spawn(callers::run(Scenario::EvenFinish, Account::LARGE, By::WaitingAtFourTimesTheQuota, round));
    runs.spawn(callers::run(Scenario::EvenFinish, Account::SMALL, By::WaitingAtFourTimesTheQuota, round));
    let mut outcomes = runs.join_all().await;
    // Beside each other, so that they meet the same machine.
    let mut runs = JoinSet::new();
    for by in [By::WaitingOnReplicas, By::WaitingOnReplicasApart] {
        for scenario in [Scenario::EvenFinish, Scenario::RealChecks] {
            runs.spawn(callers::run(scenario, Account::LARGE, by, round));
        }
    }
    outcomes.extend(runs.join_all().await);
    outcomes
}
