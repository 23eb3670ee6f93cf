//! The table of the measurements, and the goals.

use crate::scenario::{Account, Scenario, Setup};
use std::{collections::BTreeMap, fmt::Write};

#[derive(Clone, Debug)]
pub struct Measurement {
    pub scenario: Scenario,
    pub account: Account,
    pub setup: Setup,
    pub sessions: u64,
    pub calls: u64,
    pub failed: u64,
    /// Callers that never got the final status.
    pub gave_up: u64,
    pub reads: u64,
    pub throttled: u64,
    /// Reads that returned SUCCEEDED.
    pub reads_of_final: u64,
    /// Seconds between the end of a session and the final response, for each caller.
    pub delays: Vec<f64>,
}

impl Measurement {
    pub fn new(scenario: Scenario, account: Account, setup: Setup) -> Self {
        let (sessions, calls, failed, gave_up, reads, throttled, reads_of_final) = (0, 0, 0, 0, 0, 0, 0);
        Self {
            scenario,
            account,
            setup,
            sessions,
            calls,
            failed,
            gave_up,
            reads,
            throttled,
            reads_of_final,
            delays: Vec::new(),
        }
    }

    /// Returns a quantile of the delays.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut delays = self.delays.clone();
        delays.sort_by(f64::total_cmp);
        let index = (share * delays.len() as f64).ceil() as usize;
        delays.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    fn failed_share(&self) -> f64 {
        100.0 * self.failed as f64 / self.calls as f64
    }
}

/// Returns a row for each scenario, account and setup.
pub fn medians(measurements: Vec<Measurement>) -> Vec<Row> {
    let mut runs: BTreeMap<_, Vec<Measurement>> = BTreeMap::new();
    for measurement in measurements {
        runs.entry((measurement.scenario, measurement.account, measurement.setup)).or_default().push(measurement);
    }
    runs.into_values().map(Row::new).collect()
}

#[derive(Debug)]
pub struct Row {
    /// The run with the median of the median delays.
    pub typical: Measurement,
    pub median: f64,
    pub p99: f64,
    pub max: f64,
    worst_failed: f64,
    worst_throttled: u64,
    read_once_when_final: bool,
}

impl Row {
    fn new(mut runs: Vec<Measurement>) -> Self {
        let median_of = |quantile: f64| {
            let mut values: Vec<_> = runs.iter().map(|run| run.quantile(quantile)).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let (median, p99, max) = (median_of(0.5), median_of(0.99), median_of(1.0));
        runs.sort_by(|a, b| a.quantile(0.5).total_cmp(&b.quantile(0.5)));
        Self {
            median,
            p99,
            max,
            worst_failed: runs.iter().map(|run| run.failed_share() + run.gave_up as f64).fold(0.0, f64::max),
            worst_throttled: runs.iter().map(|run| run.throttled).max().unwrap_or_default(),
            read_once_when_final: runs.iter().all(|run| run.reads_of_final == run.sessions),
            typical: runs.swap_remove(runs.len() / 2),
        }
    }
}

pub fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| scenario | quota, sessions | callers | calls | failed | AWS reads | throttled | reads a session | median | p99 | max |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let Measurement { scenario, account, setup, sessions, calls, reads, throttled, .. } = &row.typical;
        writeln!(
            table,
            "| {} | {}/s, {} | {} | {calls} | {:.0}% | {reads} | {throttled} | {:.1} | {:.2} s | {:.2} s | {:.2} s |",
            scenario.name(),
            account.reads_per_second,
            account.sessions,
            setup.name(),
            row.typical.failed_share(),
            *reads as f64 / *sessions as f64,
            row.median,
            row.p99,
            row.max,
        )
        .expect("writing to a string cannot fail");
    }
    table
}

/// Returns the limits of median and p99, in seconds.
fn goal(scenario: Scenario, account: Account, setup: Setup) -> Option<(f64, f64)> {
    let large = account == Account::LARGE;
    match (scenario, setup) {
        (Scenario::EvenFinish, Setup::Polling) => Some(if large { (0.85, 3.4) } else { (1.0, 3.4) }),
        (Scenario::EvenFinish, Setup::Waiting) => Some(if large { (0.70, 3.2) } else { (0.90, 3.0) }),
        (Scenario::RealChecks, Setup::Waiting) => Some(if large { (0.70, 2.1) } else { (1.0, 2.6) }),
        (Scenario::EvenFinish, Setup::WaitingWithQuadrupleQuota) => Some((2.5, 6.0)),
        _ => None,
    }
}

/// The limit of the median delay with sharing replicas, as a multiple of one replica's.
const MAX_SHARING_COST: f64 = 1.3;

pub fn missed_goals(rows: &[Row]) -> Vec<String> {
    let mut missed = Vec::new();
    for row in rows {
        let Measurement { scenario, account, setup, .. } = row.typical;
        let mut miss = |measured: String| {
            missed.push(format!("{}, {}/s, {}: {measured}", scenario.name(), account.reads_per_second, setup.name()))
        };
        if matches!(setup, Setup::SdkStandard | Setup::SdkAdaptive) {
            continue;
        }
        if row.worst_failed > 0.0 {
            miss(format!("{:.2}% failed", row.worst_failed));
        }
        if setup != Setup::WaitingWithQuadrupleQuota && row.worst_throttled > 0 {
            miss(format!("{} reads throttled", row.worst_throttled));
        }
        if setup != Setup::WaitingOnSeparateReplicas && !row.read_once_when_final {
            miss("a final session was read more than once".to_owned());
        }
        if let Some((median, p99)) = goal(scenario, account, setup)
            && (row.median > median || row.p99 > p99)
        {
            miss(format!("{:.2} / {:.2} s, the goal is {median} / {p99} s", row.median, row.p99));
        }
        let single = rows.iter().find(|other| {
            (other.typical.scenario, other.typical.account, other.typical.setup) == (scenario, account, Setup::Waiting)
        });
        if let Some(single) = single
            .filter(|single| setup == Setup::WaitingOnSharingReplicas && row.median > MAX_SHARING_COST * single.median)
        {
            miss(format!("{:.2} s, and a single replica {:.2} s", row.median, single.median));
        }
    }
    missed
}
