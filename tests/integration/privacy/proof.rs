//! What was driven, what was searched, and what was found.

use super::{
    received::Received,
    search::{Found, Secret, found, found_rounded_too},
    watched_program::Seen,
};
use face_liveness_facade::error::Reason;
use std::fmt;

pub struct Proof {
    pub received: Received,
    pub seen: Seen,
    pub dump: Dump,
    pub programs: usize,
    pub faults: usize,
}

/// What SIGABRT left of a program that held everything, with as large a dump as the machine allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dump {
    /// A core, which has what was in memory.
    Core,
    /// Nothing, where another process left a core.
    None,
    /// Nothing, and no other process leaves a core on this machine.
    NotShown,
}

/// A place to look: what was found there, and what was looked at.
struct Place {
    name: &'static str,
    found: Found,
    searched: String,
}

impl Proof {
    fn places(&self) -> Vec<Place> {
        let (words, seen) = (self.received.lock(), &self.seen);
        let lines = seen.log.iter().filter(|byte| **byte == b'\n').count();
        let place = |name, found, searched| Place { name, found, searched };
        let looked = match seen.disk.looks {
            0 => "which files are open is not ours to see".to_owned(),
            looks => format!("{looks} looks at open files"),
        };
        // Whatever it wrote, it may have been anything.
        let anything = |what: &String| Secret::ALL.map(|(secret, _)| (secret, what.clone())).into();
        let on_disk = seen.disk.found.first().map(anything).unwrap_or_default();
        let both =
            |bytes: &[u8], timeless: &[u8]| found(bytes).into_iter().chain(found_rounded_too(timeless)).collect();
        vec![
            place(
                "on disk",
                on_disk,
                format!(
                    "{} folders, {looked}, {} programs that a write to any file would have ended",
                    seen.disk.folders, seen.disk.confined
                ),
            ),
            place(
                "in logs",
                both(&seen.log, &without_times(&seen.log)),
                format!("{lines} lines, {} bytes, of standard error and output", seen.log.len()),
            ),
            place(
                "in metrics",
                both(&seen.pages, &without_seconds(&seen.pages)),
                format!("{} scrapes of all pages, {} bytes", seen.scrapes, seen.pages.len()),
            ),
            place(
                "in traces",
                found_rounded_too(&seen.traces),
                format!("{} spans, {} bytes", seen.spans, seen.traces.len()),
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

    /// What has to be mended.
    pub fn leaks(&self) -> Vec<String> {
        let places = self.places();
        let found = places.iter().flat_map(|place| place.found.iter().map(move |found| (place.name, found)));
        let mut leaks: Vec<_> =
            found.map(|(place, (secret, around))| format!("{secret:?} {place}: {around:?}")).collect();
        // Elsewhere they are the operating system's matter.
        if self.dump == Dump::Core && cfg!(target_os = "linux") {
            leaks.push("a core was dumped".to_owned());
        }
        leaks
    }

    /// What was held, and answered from memory: a search that finds nothing has to have had
    /// something to find.
    pub fn held(&self) -> Vec<Secret> {
        found(&self.received.lock().cached_responses).into_keys().collect()
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (places, held) = (self.places(), self.held());
        write!(f, "{:18} | in memory", "")?;
        places.iter().try_for_each(|place| write!(f, " | {:25}", place.name))?;
        writeln!(f, " | in a core dump")?;
        for (secret, name) in Secret::ALL {
            write!(f, "{name:18} | {:9}", if held.contains(&secret) { "held" } else { "never" })?;
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
                Dump::NotShown => "not shown",
            };
            writeln!(f, " | {cell}")?;
        }
        let responses = self.received.lock().responses;
        let bytes = self.received.lock().cached_responses.len();
        writeln!(f, "\ndriven: {} programs, {responses} answers, {} faults of AWS", self.programs, self.faults)?;
        writeln!(f, "in memory: {bytes} bytes of answers from memory")?;
        places.iter().try_for_each(|place| writeln!(f, "{}: {}", place.name, place.searched))?;
        let dump = match self.dump {
            Dump::Core => "SIGABRT left a core",
            Dump::None => "SIGABRT left no core, and one of a process that does not forbid it",
            Dump::NotShown => "SIGABRT left no core, but on this machine no process leaves one",
        };
        writeln!(f, "in a core dump: {dump}")
    }
}

/// The log without how long things took, which may be any number.
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

fn without_seconds(pages: &[u8]) -> Vec<u8> {
    let lines = pages.split(|byte| *byte == b'\n');
    let timeless = lines.filter(|line| !line.windows(8).any(|window| window == b"_seconds"));
    timeless.collect::<Vec<_>>().join(&b'\n')
}
