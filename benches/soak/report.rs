//! What was asked, how it ended, and which trouble explains which error.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// A call that its caller's library did not send.
pub const NOT_SENT: &str = "not sent";

/// Of 100,000 calls so many may not be sent: each connection ends once in some hundred calls, and
/// the moment in which it goes wrong is short.
const MAX_NOT_SENT: u64 = 10;

/// A trouble of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Throttling,
    Failing,
    Hanging,
    Cutting,
    Malformed,
    /// It restarts.
    Gone,
}

impl Phase {
    const ALL: [Self; 6] = [Self::Throttling, Self::Failing, Self::Hanging, Self::Cutting, Self::Malformed, Self::Gone];

    /// The errors that it may bring about.
    fn reasons(self) -> &'static [&'static str] {
        match self {
            Self::Throttling => &["UPSTREAM_THROTTLED", "QUOTA_EXHAUSTED"],
            Self::Failing | Self::Cutting => &["UPSTREAM_UNAVAILABLE"],
            Self::Hanging => &["UPSTREAM_TIMEOUT"],
            Self::Malformed => &["UPSTREAM_MALFORMED"],
            // Reads that were under way are cut, and what connects meanwhile is refused.
            Self::Gone => &["UPSTREAM_UNAVAILABLE"],
        }
    }

    /// How long after its end it is still felt.
    fn lingers(self) -> Duration {
        Duration::from_secs(match self {
            // The rate comes back in 30 s, and a queue has to be worked off.
            Self::Throttling => 40,
            // Three attempts of 5 s; the last begins when the second has failed. Then it is
            // remembered.
            Self::Hanging => 25,
            // An error is remembered for 6 s at most.
            Self::Failing | Self::Cutting | Self::Malformed | Self::Gone => 8,
        })
    }
}

/// A kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Hit,
    Miss,
    Images,
    Wait,
    Poll,
    Unknown,
    Malformed,
    GivenUp,
    Hurried,
}

impl Kind {
    /// The errors that this caller asks for.
    fn reasons(self) -> &'static [&'static str] {
        match self {
            Self::Hit | Self::Miss | Self::Images | Self::Wait | Self::Poll | Self::GivenUp => &[],
            Self::Unknown => &["SESSION_NOT_FOUND"],
            Self::Malformed => &["INVALID_REQUEST"],
            // Its own library may be the first to see the deadline pass, and says so without a
            // reason.
            Self::Hurried => &["DEADLINE_EXCEEDED", "QUOTA_EXHAUSTED", "Cancelled: Timeout expired"],
        }
    }

    /// Whether what AWS does may be felt. What is held is answered, whatever it does.
    fn feels_aws(self) -> bool {
        !matches!(self, Self::Hit | Self::Malformed)
    }
}

#[derive(Default)]
pub struct Report {
    phases: Mutex<Vec<(Phase, Instant, Option<Instant>)>>,
    ends: Mutex<BTreeMap<Kind, Ends>>,
    requests: AtomicU64,
}

#[derive(Default)]
struct Ends {
    answered: u64,
    given_up: u64,
    slowest: Duration,
    /// Errors by reason and explanation; nothing where there is none.
    errors: BTreeMap<(String, Option<String>), u64>,
}

/// A phase that is on until it is dropped.
pub struct Lasts<'a>(&'a Report);

impl Drop for Lasts<'_> {
    fn drop(&mut self) {
        if let Some((_, _, end)) = self.0.phases().last_mut() {
            *end = Some(Instant::now());
        }
    }
}

impl Report {
    pub fn begin(&self, phase: Phase) -> Lasts<'_> {
        self.phases().push((phase, Instant::now(), None));
        Lasts(self)
    }

    pub fn answered(&self, kind: Kind, started: Instant) {
        self.end(kind, started, |ends| ends.answered += 1);
    }

    pub fn given_up(&self, kind: Kind, started: Instant) {
        self.end(kind, started, |ends| ends.given_up += 1);
    }

    pub fn refused(&self, kind: Kind, started: Instant, reason: &str) {
        let explanation = self.explanation(kind, started, reason);
        self.end(kind, started, |ends| *ends.errors.entry((reason.to_owned(), explanation)).or_default() += 1);
    }

    fn end(&self, kind: Kind, started: Instant, count: impl FnOnce(&mut Ends)) {
        self.requests.fetch_add(1, Relaxed);
        let mut ends = self.ends();
        let ends = ends.entry(kind).or_default();
        ends.slowest = ends.slowest.max(started.elapsed());
        count(ends);
    }

    fn explanation(&self, kind: Kind, started: Instant, reason: &str) -> Option<String> {
        if reason == NOT_SENT {
            return Some("the connection ended".to_owned());
        }
        if kind.reasons().contains(&reason) {
            return Some("asked for".to_owned());
        }
        let phases = self.phases();
        let felt = |(phase, _, end): &(Phase, Instant, Option<Instant>)| {
            let is_over = end.is_some_and(|end| end + phase.lingers() < started);
            kind.feels_aws() && phase.reasons().contains(&reason) && !is_over
        };
        let phase = phases.iter().rev().find(|phase| felt(phase));
        phase.map(|(phase, _, _)| format!("AWS: {phase:?}"))
    }

    /// One sentence for each error that nothing explains.
    pub fn unexplained(&self) -> Vec<String> {
        let (mut sentences, mut not_sent) = (Vec::new(), 0);
        for (kind, ends) in &*self.ends() {
            for ((reason, explanation), count) in &ends.errors {
                not_sent += if reason == NOT_SENT { *count } else { 0 };
                if explanation.is_none() {
                    sentences.push(format!("{kind:?}: {count} times {reason}, which nothing explains"));
                }
            }
            if ends.answered + ends.given_up == 0 && kind.reasons().is_empty() {
                sentences.push(format!("{kind:?}: not one was answered"));
            }
        }
        let most = MAX_NOT_SENT.max(self.requests.load(Relaxed) * MAX_NOT_SENT / 100_000);
        if not_sent > most {
            sentences.push(format!("{not_sent} calls were not sent, more than {most}"));
        }
        sentences
    }

    pub fn line(&self) -> String {
        let phase = self.phases().last().filter(|(_, _, end)| end.is_none()).map(|(phase, _, _)| *phase);
        let phase = phase.map_or_else(String::new, |phase| format!(", AWS: {phase:?}"));
        format!("{} requests{phase}", self.requests.load(Relaxed))
    }

    pub fn table(&self) -> String {
        let mut table = String::from(
            "| kind | requests | answered | given up | slowest | errors |\n| --- | ---: | ---: | ---: | ---: | --- |\n",
        );
        for (kind, Ends { answered, given_up, slowest, errors }) in &*self.ends() {
            let all = answered + given_up + errors.values().sum::<u64>();
            let told = |((reason, why), count): (&(String, Option<String>), &u64)| {
                format!("{count} {reason} ({})", why.as_deref().unwrap_or("UNEXPLAINED"))
            };
            let errors: Vec<_> = errors.iter().map(told).collect();
            let slowest = slowest.as_secs_f64();
            let line =
                format!("| {kind:?} | {all} | {answered} | {given_up} | {slowest:.2} s | {} |", errors.join(", "));
            writeln!(table, "{line}").expect("a string takes all");
        }
        for phase in Phase::ALL {
            let times = self.phases().iter().filter(|(other, ..)| *other == phase).count();
            let (reasons, lingers) = (phase.reasons().join(", "), phase.lingers().as_secs());
            writeln!(table, "AWS {phase:?}, {times} times, explains {reasons} until {lingers} s after")
                .expect("a string takes all");
        }
        table
    }

    fn phases(&self) -> MutexGuard<'_, Vec<(Phase, Instant, Option<Instant>)>> {
        self.phases.lock().expect("nobody panics with it")
    }

    fn ends(&self) -> MutexGuard<'_, BTreeMap<Kind, Ends>> {
        self.ends.lock().expect("nobody panics with it")
    }
}
