//! The report: what was run, what was searched, and what was found.

use super::{
    received::Received,
    search::{Found, Secret, found, found_rounded_too},
    watched_program::Observed,
};
use face_liveness_facade::error::Reason;
use std::fmt;

pub struct Proof {
    pub received: Received,
    pub observed: Observed,
    pub dump: Dump,
    pub programs: usize,
    pub faults: usize,
}

/// What SIGABRT leaves of a program that has everything in memory, with the largest core size limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dump {
    /// A core dump, which contains the memory.
    Core,
    /// No core dump, although other processes leave one on this machine.
    None,
    /// No core dump, and no other process leaves one on this machine.
    Inconclusive,
}

/// A searched place, what was found there, and how much was searched.
struct Place {
    name: &'static str,
    found: Found,
    searched: String,
}

impl Proof {
    fn places(&self) -> Vec<Place> {
        let (words, observed) = (self.received.lock(), &self.observed);
        let lines = observed.log.iter().filter(|byte| **byte == b'\n').count();
        let place = |name, found, searched| Place { name, found, searched };
        let looked = match observed.disk.looks {
            0 => "open files are not visible".to_owned(),
            looks => format!("{looks} checks of open files"),
        };
        // A written file may contain any of the secrets.
        let every_secret = |what: &String| Secret::ALL.map(|(secret, _)| (secret, what.clone())).into();
        let on_disk = observed.disk.found.first().map(every_secret).unwrap_or_default();
        let both =
            |bytes: &[u8], timeless: &[u8]| found(bytes).into_iter().chain(found_rounded_too(timeless)).collect();
        vec![
            place(
                "on disk",
                on_disk,
                format!(
                    "{} folders, {looked}, {} programs that any file write would have ended",
                    observed.disk.folders, observed.disk.confined
                ),
            ),
            place(
                "in logs",
                both(&observed.log, &without_times(&observed.log)),
                format!("{lines} lines, {} bytes, of standard error and output", observed.log.len()),
            ),
            place(
                "in metrics",
                both(&observed.pages, &without_seconds(&observed.pages)),
                format!("{} scrapes of all pages, {} bytes", observed.scrapes, observed.pages.len()),
            ),
            place(
                "in traces",
                found_rounded_too(&observed.traces),
                format!("{} spans, {} bytes", observed.spans, observed.traces.len()),
            ),
            place(
                "in errors",
                found_rounded_too(&words.errors),
                format!(
                    "{} error_count with {} of {} reasons, {} named their session, {} bytes of messages, details and metadata",
                    words.error_count,
                    words.reasons.len(),
                    Reason::ALL.len(),
                    words.names,
                    words.errors.len()
                ),
            ),
        ]
    }

    /// Returns the leaks that must be fixed.
    pub fn leaks(&self) -> Vec<String> {
        let places = self.places();
        let found = places.iter().flat_map(|place| place.found.iter().map(move |found| (place.name, found)));
        let mut leaks: Vec<_> =
            found.map(|(place, (secret, around))| format!("{secret:?} {place}: {around:?}")).collect();
        // The program disables core dumps on Linux only.
        if self.dump == Dump::Core && cfg!(target_os = "linux") {
            leaks.push("a core was dumped".to_owned());
        }
        leaks
    }

    /// Returns the secrets that cached responses contained. A search without findings proves
    /// something only if the program had the data.
    pub fn cached(&self) -> Vec<Secret> {
        found(&self.received.lock().cached_responses).into_keys().collect()
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (places, cached) = (self.places(), self.cached());
        write!(f, "{:18} | in memory", "")?;
        places.iter().try_for_each(|place| write!(f, " | {:25}", place.name))?;
        writeln!(f, " | in a core dump")?;
        for (secret, name) in Secret::ALL {
            write!(f, "{name:18} | {:9}", if cached.contains(&secret) { "cached" } else { "never" })?;
            for place in &places {
                let names_it = (secret, place.name) == (Secret::Session, "in errors");
                let cell = match place.found.contains_key(&secret) {
                    true => "FOUND",
                    false if names_it => "ResourceInfo of NOT_FOUND",
                    false => "never",
                };
                write!(f, " | {cell:25}")?;
            }
            let cell = match self.dump {
                Dump::Core => "DUMPED",
                Dump::None => "never",
                Dump::Inconclusive => "not tested",
            };
            writeln!(f, " | {cell}")?;
        }
        let responses = self.received.lock().responses;
        let bytes = self.received.lock().cached_responses.len();
        writeln!(f, "\nrun: {} programs, {responses} responses, {} faults of AWS", self.programs, self.faults)?;
        writeln!(f, "in memory: {bytes} bytes of cached responses")?;
        places.iter().try_for_each(|place| writeln!(f, "{}: {}", place.name, place.searched))?;
        let dump = match self.dump {
            Dump::Core => "SIGABRT left a core",
            Dump::None => "SIGABRT left no core of the program, and one of another process",
            Dump::Inconclusive => "SIGABRT left no core, but no process leaves one on this machine",
        };
        writeln!(f, "in a core dump: {dump}")
    }
}

/// Returns the log without durations and timestamps, which can equal any number.
fn without_times(log: &[u8]) -> Vec<u8> {
    let without = |line: &[u8]| match serde_json::from_slice(line) {
        Ok(serde_json::Value::Object(mut event)) => {
            event.retain(|name, _| !name.ends_with("millis") && name != "timestamp");
            serde_json::Value::from(event).to_string().into_bytes()
        }
        _ => line.to_vec(),
    };
    log.split(|byte| *byte == b'\n').map(without).collect::<Vec<_>>().join(&b'\n')
}

/// Returns the metrics without durations.
fn without_seconds(pages: &[u8]) -> Vec<u8> {
    let lines = pages.split(|byte| *byte == b'\n');
    let timeless = lines.filter(|line| !line.windows(8).any(|window| window == b"_seconds"));
    timeless.collect::<Vec<_>>().join(&b'\n')
}
