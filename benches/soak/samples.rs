//! What the program took, over time, and the rules for it.

use crate::program::Program;
use std::{
    fmt,
    time::{Duration, Instant},
};

/// Memory after the warm-up and at the end are medians of so many samples: single ones depend on
/// what is under way.
const MEDIAN_OF: usize = 6;

/// What memory may grow by after the warm-up. What glibc keeps of what was freed differs by some MB
/// with the trouble that AWS is in. Ten minutes are some 300,000 requests: a leak of 60 bytes in
/// each is more.
const MAX_GROWTH_KIB: i64 = 16 * 1024;

/// When all have left: its sockets and pipes, the connections to AWS that are kept for the next
/// time, and those of this bench's scrapes.
const MAX_DESCRIPTORS_MORE: i64 = 64;

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
        let sample = self.look(program).await;
        self.all.push(sample);
        sample
    }

    async fn look(&self, program: &Program) -> Sample {
        let [connections, in_flight, polls] = program.metrics(NAMES).await;
        let (resident_kib, descriptors) = (program.resident_kib(), program.descriptors());
        Sample { at: self.elapsed(), resident_kib, descriptors, connections, in_flight, polls }
    }

    /// What is left when all callers have gone: looked at until nothing is, or for so long.
    pub async fn aftermath(&self, program: &Program, longest: Duration) -> Sample {
        let began = Instant::now();
        loop {
            let sample = self.look(program).await;
            let is_quiet = (sample.connections, sample.in_flight, sample.polls) == (0, 0, 0);
            if is_quiet || began.elapsed() > longest {
                return sample;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Memory after the warm-up, and at the end, in KiB.
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

    /// The slope of a line through the memory of the second half, in KiB a minute.
    fn slope(&self) -> f64 {
        let half = self.all.last().map_or(Duration::ZERO, |last| last.at / 2);
        let points = self.all.iter().filter(|sample| sample.at >= half);
        let points: Vec<_> =
            points.map(|sample| (sample.at.as_secs_f64() / 60.0, sample.resident_kib as f64)).collect();
        let count = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
        let (up, along) = points
            .iter()
            .fold((0.0, 0.0), |(up, along), point| (up + (point.0 - x) * (point.1 - y), along + (point.0 - x).powi(2)));
        up / along
    }

    pub fn table(&self, left: &Sample) -> String {
        let (begin, end) = self.ends();
        let (first, last) = (self.warm().next().expect("a sample"), self.all.last().expect("a sample"));
        let mib = |kib: i64| kib as f64 / 1024.0;
        format!(
            "| | after the warm-up | at the end | when all had gone |\n| --- | ---: | ---: | ---: |\n\
             | memory | {:.1} MiB | {:.1} MiB | {:.1} MiB |\n| descriptors | {} | {} | {} |\n\
             | connections | {} | {} | {} |\n| polls | {} | {} | {} |\n\
             Memory's slope over the second half: {:+.2} MiB a minute.\n",
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

    /// One sentence for each rule that does not hold.
    pub fn broken_rules(&self, left: &Sample) -> Vec<String> {
        let (begin, end) = self.ends();
        let rules = [
            (end - begin > MAX_GROWTH_KIB, format!("memory grew by {} KiB, more than {MAX_GROWTH_KIB}", end - begin)),
            (left.connections > 0, format!("{} connections are left", left.connections)),
            (left.in_flight > 0, format!("{} requests are left in flight", left.in_flight)),
            (left.polls > 0, format!("{} polls are left", left.polls)),
            (
                left.descriptors as i64 > MAX_DESCRIPTORS_MORE,
                format!("{} descriptors are left, more than {MAX_DESCRIPTORS_MORE}", left.descriptors),
            ),
        ];
        rules.into_iter().filter(|(broken, _)| *broken).map(|(_, sentence)| sentence).collect()
    }
}
