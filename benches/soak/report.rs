//! Counts calls and their results, and explains each error by an outage.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// A call that the gRPC library of the caller did not send.
pub const NOT_SENT: &str = "not sent";

/// The limit of calls that are not sent, per 100,000. Connections end after some hundred calls, and
/// a call can meet that moment.
const MAX_NOT_SENT: u64 = 10;

/// A kind of outage of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outage {
    Throttling,
    Failing,
    Hanging,
    Cutting,
    Malformed,
    Restarting,
}

impl Outage {
    const ALL: [Self; 6] =
        [Self::Throttling, Self::Failing, Self::Hanging, Self::Cutting, Self::Malformed, Self::Restarting];

    /// Returns the reasons of errors that the outage can cause.
    fn reasons(self) -> &'static [&'static str] {
        match self {
            Self::Throttling => &["UPSTREAM_THROTTLED", "QUOTA_EXHAUSTED"],
            Self::Failing | Self::Cutting => &["UPSTREAM_UNAVAILABLE"],
            Self::Hanging => &["UPSTREAM_TIMEOUT"],
            Self::Malformed => &["UPSTREAM_MALFORMED"],
            // Reads in flight are cut, and new connections fail.
            Self::Restarting => &["UPSTREAM_UNAVAILABLE"],
        }
    }

    /// Returns how long after its end the outage can cause errors.
    fn after_effect(self) -> Duration {
        Duration::from_secs(match self {
            // The rate recovers in 30 s. Then the queue must drain.
            Self::Throttling => 40,
            // Three attempts of 5 s, and then the error is cached.
            Self::Hanging => 25,
            // An error is cached for at most 6 s.
            Self::Failing | Self::Cutting | Self::Malformed | Self::Restarting => 8,
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
    Canceled,
    ShortDeadline,
}

impl Kind {
    /// Returns the reasons of errors that this kind causes itself.
    fn reasons(self) -> &'static [&'static str] {
        match self {
            Self::Hit | Self::Miss | Self::Images | Self::Wait | Self::Poll | Self::Canceled => &[],
            Self::Unknown => &["SESSION_NOT_FOUND"],
            Self::Malformed => &["INVALID_REQUEST"],
            // The deadline may expire in the caller's library first, whose error has no reason.
            Self::ShortDeadline => &["DEADLINE_EXCEEDED", "QUOTA_EXHAUSTED", "Cancelled: Timeout expired"],
        }
    }

    /// Returns whether an outage can affect this kind. Cache hits do not depend on AWS.
    fn depends_on_aws(self) -> bool {
        !matches!(self, Self::Hit | Self::Malformed)
    }
}

#[derive(Default)]
pub struct Report {
    outages: Mutex<Vec<(Outage, Instant, Option<Instant>)>>,
    counts: Mutex<BTreeMap<Kind, Counts>>,
    requests: AtomicU64,
}

#[derive(Default)]
struct Counts {
    succeeded: u64,
    canceled: u64,
    slowest: Duration,
    /// The number of errors by reason and explanation.
    errors: BTreeMap<(String, Option<String>), u64>,
}

/// Ends the current outage in the report when dropped.
pub struct OutageGuard<'a>(&'a Report);

impl Drop for OutageGuard<'_> {
    fn drop(&mut self) {
        if let Some((_, _, end)) = self.0.outages().last_mut() {
            *end = Some(Instant::now());
        }
    }
}

impl Report {
    pub fn begin(&self, outage: Outage) -> OutageGuard<'_> {
        self.outages().push((outage, Instant::now(), None));
        OutageGuard(self)
    }

    pub fn succeeded(&self, kind: Kind, started: Instant) {
        self.count(kind, started, |counts| counts.succeeded += 1);
    }

    pub fn canceled(&self, kind: Kind, started: Instant) {
        self.count(kind, started, |counts| counts.canceled += 1);
    }

    pub fn failed(&self, kind: Kind, started: Instant, reason: &str) {
        let explanation = self.explanation(kind, started, reason);
        self.count(kind, started, |counts| *counts.errors.entry((reason.to_owned(), explanation)).or_default() += 1);
    }

    fn count(&self, kind: Kind, started: Instant, count: impl FnOnce(&mut Counts)) {
        self.requests.fetch_add(1, Relaxed);
        let mut counts = self.counts();
        let counts = counts.entry(kind).or_default();
        counts.slowest = counts.slowest.max(started.elapsed());
        count(counts);
    }

    fn explanation(&self, kind: Kind, started: Instant, reason: &str) -> Option<String> {
        if reason == NOT_SENT {
            return Some("the connection ended".to_owned());
        }
        if kind.reasons().contains(&reason) {
            return Some("expected".to_owned());
        }
        let outages = self.outages();
        let explains = |(outage, _, end): &(Outage, Instant, Option<Instant>)| {
            let is_over = end.is_some_and(|end| end + outage.after_effect() < started);
            kind.depends_on_aws() && outage.reasons().contains(&reason) && !is_over
        };
        let outage = outages.iter().rev().find(|outage| explains(outage));
        outage.map(|(outage, _, _)| format!("AWS: {outage:?}"))
    }

    /// Returns a sentence for each error without an explanation.
    pub fn unexplained(&self) -> Vec<String> {
        let (mut sentences, mut not_sent) = (Vec::new(), 0);
        for (kind, counts) in &*self.counts() {
            for ((reason, explanation), count) in &counts.errors {
                not_sent += if reason == NOT_SENT { *count } else { 0 };
                if explanation.is_none() {
                    sentences.push(format!("{kind:?}: {count} errors {reason} that no outage explains"));
                }
            }
            if counts.succeeded + counts.canceled == 0 && kind.reasons().is_empty() {
                sentences.push(format!("{kind:?}: no call succeeded"));
            }
        }
        let max = MAX_NOT_SENT.max(self.requests.load(Relaxed) * MAX_NOT_SENT / 100_000);
        if not_sent > max {
            sentences.push(format!("{not_sent} calls were not sent, more than {max}"));
        }
        sentences
    }

    pub fn line(&self) -> String {
        let outage = self.outages().last().filter(|(_, _, end)| end.is_none()).map(|(outage, _, _)| *outage);
        let outage = outage.map_or_else(String::new, |outage| format!(", AWS: {outage:?}"));
        format!("{} requests{outage}", self.requests.load(Relaxed))
    }

    pub fn table(&self) -> String {
        let mut table = String::from(
            "| kind | requests | succeeded | canceled | slowest | errors |\n| --- | ---: | ---: | ---: | ---: | --- |\n",
        );
        for (kind, Counts { succeeded, canceled, slowest, errors }) in &*self.counts() {
            let all = succeeded + canceled + errors.values().sum::<u64>();
            let describe = |((reason, why), count): (&(String, Option<String>), &u64)| {
                format!("{count} {reason} ({})", why.as_deref().unwrap_or("UNEXPLAINED"))
            };
            let errors: Vec<_> = errors.iter().map(describe).collect();
            let slowest = slowest.as_secs_f64();
            let line =
                format!("| {kind:?} | {all} | {succeeded} | {canceled} | {slowest:.2} s | {} |", errors.join(", "));
            writeln!(table, "{line}").expect("writing to a string cannot fail");
        }
        for outage in Outage::ALL {
            let times = self.outages().iter().filter(|(other, ..)| *other == outage).count();
            let (reasons, seconds) = (outage.reasons().join(", "), outage.after_effect().as_secs());
            writeln!(table, "AWS {outage:?}, {times} times, explains {reasons} until {seconds} s after its end")
                .expect("writing to a string cannot fail");
        }
        table
    }

    fn outages(&self) -> MutexGuard<'_, Vec<(Outage, Instant, Option<Instant>)>> {
        self.outages.lock().expect("no code panics while it holds this lock")
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Kind, Counts>> {
        self.counts.lock().expect("no code panics while it holds this lock")
    }
}
