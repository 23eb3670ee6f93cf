//! Counts requests by operation, outcome and session.
//!
//! A request counts as soon as its operation is known. Clients and scripts choose the names, so
//! every map has a limit.

use std::{collections::BTreeMap, sync::Mutex};

use serde::Serialize;

use crate::{bounded_map::BoundedMap, wire::Operation};

/// Session ids with their own counts.
const MAX_SESSIONS: usize = 10_000;

/// Outcomes with their own count. Faults can have any code, and the others count as `OTHER`.
const MAX_OUTCOMES: usize = 64;
const OTHER: &str = "other";

#[derive(Default)]
pub(crate) struct RequestCounts {
    counts: Mutex<Counts>,
}

struct Counts {
    operations: [Count; Operation::ALL.len()],
    reads: BoundedMap<Count>,
}

/// The counts of one operation, or of one session's reads. `received` includes requests in flight
/// and canceled ones, which have no outcome.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Count {
    received: u64,
    outcomes: BTreeMap<String, u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { operations: Default::default(), reads: BoundedMap::new(MAX_SESSIONS) }
    }
}

impl Count {
    fn complete(&mut self, outcome: &str) {
        let outcomes = &mut self.outcomes;
        let name = if outcomes.len() < MAX_OUTCOMES || outcomes.contains_key(outcome) { outcome } else { OTHER };
        *outcomes.entry(name.to_owned()).or_default() += 1;
    }
}

impl RequestCounts {
    pub fn receive(&self, operation: Operation, session_id: Option<&str>) {
        let mut counts = self.lock();
        counts.operations[operation as usize].received += 1;
        if let (Operation::GetFaceLivenessSessionResults, Some(id)) = (operation, session_id) {
            counts.reads.entry(id).received += 1;
        }
    }

    pub fn complete(&self, operation: Operation, session_id: Option<&str>, outcome: &str) {
        let mut counts = self.lock();
        counts.operations[operation as usize].complete(outcome);
        if let (Operation::GetFaceLivenessSessionResults, Some(id)) = (operation, session_id) {
            counts.reads.entry(id).complete(outcome);
        }
    }

    pub fn received(&self, operation: Operation) -> u64 {
        self.lock().operations[operation as usize].received
    }

    pub fn completed(&self, operation: Operation, outcome: &str) -> u64 {
        self.lock().operations[operation as usize].outcomes.get(outcome).copied().unwrap_or_default()
    }

    /// Returns the counts of the reads of one session.
    pub fn reads(&self, session_id: &str) -> Count {
        self.lock().reads.get(session_id).cloned().unwrap_or_default()
    }

    pub fn reads_of(&self, session_id: &str) -> u64 {
        self.reads(session_id).received
    }

    pub fn reset(&self) {
        *self.lock() = Counts::default();
    }

    /// Returns all counts by AWS's name of the operation.
    pub fn report(&self) -> BTreeMap<&'static str, Count> {
        let counts = self.lock();
        Operation::ALL.map(|operation| (operation.name(), counts.operations[operation as usize].clone())).into()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().expect("no code panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_outcomes_is_limited() {
        let counts = RequestCounts::default();
        let [create, get] = Operation::ALL;
        counts.receive(get, Some("s"));
        counts.receive(create, None);
        for number in 0..MAX_OUTCOMES + 5 {
            counts.complete(get, Some("s"), &number.to_string());
        }
        assert_eq!((counts.received(get), counts.reads_of("s"), counts.reads_of("t")), (1, 1, 0));
        let report = counts.report();
        assert_eq!(report[get.name()].outcomes[OTHER], 5);
        assert_eq!(counts.reads("s").outcomes[OTHER], 5);
        assert!(report[create.name()].outcomes.is_empty());
    }
}
