//! Samples of memory, descriptors and connections, and their limits.

use crate::program::Program;
use std::{
    fmt,
    time::{Duration, Instant},
};

/// The number of samples of which the medians after the warm-up and at the end are taken. Single
/// samples depend on requests in flight.
const MEDIAN_OF: usize = 6;

/// The limit of growth after the warm-up. Freed memory that glibc keeps differs by some MB between
/// outages. In ten minutes, some 300,000 requests exceed the limit with a leak of 60 bytes each.
const MAX_GROWTH_KIB: i64 = 16 * 1024;

/// The limit of descriptors after the drain: listeners, pipes, pooled connections to AWS, and
/// connections of this benchmark to the admin port.
const MAX_DESCRIPTORS_LEFT: i64 = 64;

const NAMES: [&str; 3] = ["face_liveness_connections", "face_liveness_requests_in_flight", "face_liveness_polls"];

#[derive(Clone, Copy)]
pub struct Sample {
    at: Duration,
    resident_kib: u64,
    descriptors: u64,
    connections: u64,
    in_flight: u64,
    polls: u64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, resident_kib, descriptors, connections, in_flight, polls } = self;
        let (seconds, mib) = (at.as_secs(), *resident_kib as f64 / 1024.0);
        write!(
            f,
            "{seconds:4} s: {mib:.1} MiB, {descriptors} descriptors, {connections} connections, {in_flight} in flight, {polls} polls"
        )
    }
}

pub struct Samples {
    began: Instant,
    warm_up: Duration,
    all: Vec<Sample>,
}

impl Samples {
    pub fn new(warm_up: Duration) -> Self {
        Self { began: Instant::now(), warm_up, all: Vec::new() }
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub async fn take(&mut self, program: &Program) -> Sample {
        let sample = self.sample(program).await;
        self.all.push(sample);
        sample
    }

    async fn sample(&self, program: &Program) -> Sample {
        let [connections, in_flight, polls] = program.metrics(NAMES).await;
        let (resident_kib, descriptors) = (program.resident_kib(), program.descriptors());
        Sample { at: self.elapsed(), resident_kib, descriptors, connections, in_flight, polls }
    }

    /// Samples until all connections, requests and polls have ended, or until the timeout.
    pub async fn drain(&self, program: &Program, timeout: Duration) -> Sample {
        let began = Instant::now();
        loop {
            let sample = self.sample(program).await;
            let is_drained = (sample.connections, sample.in_flight, sample.polls) == (0, 0, 0);
            if is_drained || began.elapsed() > timeout {
                return sample;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Returns memory after the warm-up and at the end, in KiB.
    fn ends(&self) -> (i64, i64) {
        let warm: Vec<_> = self.warm().collect();
        let median = |samples: &[&Sample]| {
            let mut values: Vec<_> = samples.iter().map(|sample| sample.resident_kib as i64).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        let few = MEDIAN_OF.min(warm.len());
        (median(&warm[..few]), median(&warm[warm.len() - few..]))
    }

    fn warm(&self) -> impl Iterator<Item = &Sample> {
        self.all.iter().filter(|sample| sample.at >= self.warm_up)
    }

    /// Returns the slope of memory in the second half, in KiB per minute (linear regression).
    fn slope(&self) -> f64 {
        let half = self.all.last().map_or(Duration::ZERO, |last| last.at / 2);
        let points = self.all.iter().filter(|sample| sample.at >= half);
        let points: Vec<_> =
            points.map(|sample| (sample.at.as_secs_f64() / 60.0, sample.resident_kib as f64)).collect();
        let count = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
        let (covariance, variance) = points.iter().fold((0.0, 0.0), |(covariance, variance), point| {
            (covariance + (point.0 - x) * (point.1 - y), variance + (point.0 - x).powi(2))
        });
        covariance / variance
    }

    pub fn table(&self, left: &Sample) -> String {
        let (begin, end) = self.ends();
        let (first, last) = (self.warm().next().expect("a sample"), self.all.last().expect("a sample"));
        let mib = |kib: i64| kib as f64 / 1024.0;
        format!(
            "| | after the warm-up | at the end | after the drain |\n| --- | ---: | ---: | ---: |\n\
             | memory | {:.1} MiB | {:.1} MiB | {:.1} MiB |\n| descriptors | {} | {} | {} |\n\
             | connections | {} | {} | {} |\n| polls | {} | {} | {} |\n\
             Memory's slope over the second half: {:+.2} MiB per minute.\n",
            mib(begin),
            mib(end),
            mib(left.resident_kib as i64),
            first.descriptors,
            last.descriptors,
            left.descriptors,
            first.connections,
            last.connections,
            left.connections,
            first.polls,
            last.polls,
            left.polls,
            self.slope() / 1024.0
        )
    }

    /// Returns a sentence for each exceeded limit.
    pub fn broken_rules(&self, left: &Sample) -> Vec<String> {
        let (begin, end) = self.ends();
        let rules = [
            (end - begin > MAX_GROWTH_KIB, format!("memory grew by {} KiB, more than {MAX_GROWTH_KIB}", end - begin)),
            (left.connections > 0, format!("{} connections are left", left.connections)),
            (left.in_flight > 0, format!("{} requests are left in flight", left.in_flight)),
            (left.polls > 0, format!("{} polls are left", left.polls)),
            (
                left.descriptors as i64 > MAX_DESCRIPTORS_LEFT,
                format!("{} descriptors are left, more than {MAX_DESCRIPTORS_LEFT}", left.descriptors),
            ),
        ];
        rules.into_iter().filter(|(broken, _)| *broken).map(|(_, sentence)| sentence).collect()
    }
}
