//! How many requests came, for which session, and what came of them.
//!
//! A request counts when its operation is known, before anything else is looked at. Names come from
//! clients and scripts, so every map here has a most.

use std::{collections::BTreeMap, sync::Mutex};

use serde::Serialize;

use crate::{newest::Newest, wire::Operation};

/// Session ids with a count of their own.
const MOST_SESSIONS: usize = 10_000;

/// Different outcomes with a count of their own; scripts invent codes, and the rest go under one
/// name.
const MOST_OUTCOMES: usize = 64;
const OTHER: &str = "other";

pub(crate) struct Tally {
    counts: Mutex<Counts>,
}

struct Counts {
    operations: [Count; Operation::ALL.len()],
    reads: Newest<u64>,
}

/// What came of one operation's requests. `received` is ahead of the outcomes by the requests under
/// way and those whose caller left.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Count {
    received: u64,
    outcomes: BTreeMap<String, u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: Mutex::new(Counts { operations: Default::default(), reads: Newest::new(MOST_SESSIONS) }) }
    }
}

impl Tally {
    pub fn count(&self, operation: Operation, session_id: Option<&str>) {
        let mut counts = self.lock();
        counts.operations[operation as usize].received += 1;
        if let (Operation::GetFaceLivenessSessionResults, Some(id)) = (operation, session_id) {
            *counts.reads.entry(id) += 1;
        }
    }

    pub fn end(&self, operation: Operation, outcome: &str) {
        let outcomes = &mut self.lock().operations[operation as usize].outcomes;
        let name = if outcomes.len() < MOST_OUTCOMES || outcomes.contains_key(outcome) { outcome } else { OTHER };
        *outcomes.entry(name.to_owned()).or_default() += 1;
    }

    pub fn received(&self, operation: Operation) -> u64 {
        self.lock().operations[operation as usize].received
    }

    pub fn ended(&self, operation: Operation, outcome: &str) -> u64 {
        self.lock().operations[operation as usize].outcomes.get(outcome).copied().unwrap_or_default()
    }

    pub fn reads_of(&self, session_id: &str) -> u64 {
        self.lock().reads.get(session_id).copied().unwrap_or_default()
    }

    /// All counts by the operation's AWS name.
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
    fn outcomes_have_a_most() {
        let tally = Tally::default();
        let [create, get] = Operation::ALL;
        tally.count(get, Some("s"));
        tally.count(create, None);
        for number in 0..MOST_OUTCOMES + 5 {
            tally.end(get, &number.to_string());
        }
        assert_eq!((tally.received(get), tally.reads_of("s"), tally.reads_of("t")), (1, 1, 0));
        let report = tally.report();
        assert_eq!(report[get.name()].outcomes[OTHER], 5);
        assert!(report[create.name()].outcomes.is_empty());
    }
}
