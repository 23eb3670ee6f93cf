//! What came of the runs: the table, and whether the goals were met.

use crate::{
    callers::By,
    scenario::{Account, Scenario},
};
use std::{collections::BTreeMap, fmt::Write};

#[derive(Clone, Debug)]
pub struct Outcome {
    pub scenario: Scenario,
    pub account: Account,
    pub by: By,
    pub sessions: u64,
    pub calls: u64,
    pub failed: u64,
    /// Callers who never learned it.
    pub never: u64,
    pub reads: u64,
    pub throttled: u64,
    /// Reads after a session had finished.
    pub terminal_reads: u64,
    /// How late each caller learned of its session's end, in seconds.
    pub delays: Vec<f64>,
}

impl Outcome {
    pub fn new(scenario: Scenario, account: Account, by: By) -> Self {
        let (sessions, calls, failed, never, reads, throttled, terminal_reads) = (0, 0, 0, 0, 0, 0, 0);
        Self {
            scenario,
            account,
            by,
            sessions,
            calls,
            failed,
            never,
            reads,
            throttled,
            terminal_reads,
            delays: Vec::new(),
        }
    }

    /// The delay that this share of the callers did not exceed.
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

/// For each scenario, account and way the runs' median by their median delay, with the worst of
/// what must not happen at all.
pub fn medians(outcomes: Vec<Outcome>) -> Vec<Row> {
    let mut runs: BTreeMap<_, Vec<Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        runs.entry((outcome.scenario, outcome.account, outcome.by)).or_default().push(outcome);
    }
    runs.into_values().map(Row::of).collect()
}

#[derive(Debug)]
pub struct Row {
    /// The run in the middle.
    pub typical: Outcome,
    pub median: f64,
    pub p99: f64,
    pub max: f64,
    worst_failed: f64,
    worst_throttled: u64,
    once_after_the_end: bool,
}

impl Row {
    fn of(mut runs: Vec<Outcome>) -> Self {
        let middle = |quantile: f64| {
            let mut values: Vec<_> = runs.iter().map(|run| run.quantile(quantile)).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let (median, p99, max) = (middle(0.5), middle(0.99), middle(1.0));
        runs.sort_by(|a, b| a.quantile(0.5).total_cmp(&b.quantile(0.5)));
        Self {
            median,
            p99,
            max,
            worst_failed: runs.iter().map(|run| run.failed_share() + run.never as f64).fold(0.0, f64::max),
            worst_throttled: runs.iter().map(|run| run.throttled).max().unwrap_or_default(),
            once_after_the_end: runs.iter().all(|run| run.terminal_reads == run.sessions),
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
        let Outcome { scenario, account, by, sessions, calls, reads, throttled, .. } = &row.typical;
        writeln!(
            table,
            "| {} | {}/s, {} | {} | {calls} | {:.0}% | {reads} | {throttled} | {:.1} | {:.2} s | {:.2} s | {:.2} s |",
            scenario.name(),
            account.reads_per_second,
            account.sessions,
            by.name(),
            row.typical.failed_share(),
            *reads as f64 / *sessions as f64,
            row.median,
            row.p99,
            row.max,
        )
        .expect("a string takes all");
    }
    table
}

/// The most that median and p99 may be, in seconds.
fn goal(scenario: Scenario, account: Account, by: By) -> Option<(f64, f64)> {
    let large = account == Account::LARGE;
    match (scenario, by) {
        (Scenario::EvenFinish, By::Polling) => Some(if large { (0.85, 3.4) } else { (1.0, 3.4) }),
        (Scenario::EvenFinish, By::Waiting) => Some(if large { (0.70, 3.2) } else { (0.90, 3.0) }),
        (Scenario::RealChecks, By::Waiting) => Some(if large { (0.70, 2.1) } else { (1.0, 2.6) }),
        (Scenario::EvenFinish, By::WaitingAtFourTimesTheQuota) => Some((2.5, 6.0)),
        _ => None,
    }
}

/// How much later callers of replicas that share may learn of an end than those of one alone.
const REPLICAS_COST: f64 = 1.3;

pub fn missed_goals(rows: &[Row]) -> Vec<String> {
    let mut missed = Vec::new();
    for row in rows {
        let Outcome { scenario, account, by, .. } = row.typical;
        let mut miss = |what: String| {
            missed.push(format!("{}, {}/s, {}: {what}", scenario.name(), account.reads_per_second, by.name()))
        };
        if matches!(by, By::SdkStandard | By::SdkAdaptive) {
            continue;
        }
        if row.worst_failed > 0.0 {
            miss(format!("{:.2}% failed", row.worst_failed));
        }
        if by != By::WaitingAtFourTimesTheQuota && row.worst_throttled > 0 {
            miss(format!("{} reads throttled", row.worst_throttled));
        }
        if by != By::WaitingOnReplicasApart && !row.once_after_the_end {
            miss("a session was read more than once after its end".to_owned());
        }
        if let Some((median, p99)) = goal(scenario, account, by)
            && (row.median > median || row.p99 > p99)
        {
            miss(format!("{:.2} / {:.2} s, the goal is {median} / {p99} s", row.median, row.p99));
        }
        let alone = rows.iter().find(|other| {
            let Outcome { scenario: its, account: quota, by, .. } = other.typical;
            (its, quota, by) == (scenario, account, By::Waiting)
        });
        if let Some(alone) =
            alone.filter(|alone| by == By::WaitingOnReplicas && row.median > REPLICAS_COST * alone.median)
        {
            miss(format!("{:.2} s, and one replica alone {:.2} s", row.median, alone.median));
        }
    }
    missed
}
