//! Goals and measurements.

use std::fmt::Write;

/// The number of rounds of which the median counts.
pub const ROUNDS: u32 = 5;

/// A measurement and its limit.
pub struct Goal {
    name: &'static str,
    measured: f64,
    limit: f64,
    unit: &'static str,
}

impl Goal {
    pub const fn new(name: &'static str, measured: f64, limit: f64, unit: &'static str) -> Self {
        Self { name, measured, limit, unit }
    }

    const fn is_reached(&self) -> bool {
        self.measured <= self.limit
    }

    /// Describes by how much the limit was exceeded, if it was.
    pub fn miss(&self) -> Option<String> {
        let more = 100.0 * (self.measured / self.limit - 1.0);
        let Self { name, measured, limit, unit } = self;
        (!self.is_reached()).then(|| format!("{name}: {measured:.2} {unit}, {more:.0}% more than {limit} {unit}"))
    }
}

pub fn table(goals: &[Goal]) -> String {
    let mut table = "| | at most | measured | |\n| --- | ---: | ---: | --- |\n".to_owned();
    for goal in goals {
        let Goal { name, measured, limit, unit } = goal;
        let digits = if *unit == "×" { 2 } else { usize::from(*measured < 10.0) };
        let reached = if goal.is_reached() { "yes" } else { "**no**" };
        writeln!(table, "| {name} | {limit} {unit} | {measured:.digits$} {unit} | {reached} |")
            .expect("writing to a string cannot fail");
    }
    table
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
