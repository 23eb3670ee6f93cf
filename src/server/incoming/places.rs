//! How many connections there are, and how many were not served.

use crate::server::metrics::ServerMetrics;
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// The counts of a port. Cheap to clone; all clones count the same.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limit: usize,
    hard_limit: usize,
    live: AtomicUsize,
    refused: [AtomicU64; Refusal::ALL.len()],
}

/// Why a connection was closed before it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There were too many.
    Limit,
    /// The TLS handshake failed, or what came first was not HTTP/2.
    Handshake,
    /// Handshake or first bytes took too long.
    Timeout,
    /// The peer went away by itself, as a balancer does that only looks whether the port is open.
    Left,
}

impl Refusal {
    pub const ALL: [Self; 4] = [Self::Limit, Self::Handshake, Self::Timeout, Self::Left];

    /// Its name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Handshake => "handshake",
            Self::Timeout => "timeout",
            Self::Left => "left",
        }
    }
}

impl Connections {
    pub(super) fn new(limit: usize, hard_limit: usize) -> Self {
        Self(Arc::new(Counts { limit, hard_limit, live: AtomicUsize::new(0), refused: Default::default() }))
    }

    /// How many connections there are, those included that are being opened.
    pub fn live(&self) -> usize {
        self.0.live.load(Relaxed)
    }

    /// How many were refused for this reason since the start.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.0.refused[refusal as usize].load(Relaxed)
    }

    /// Sets the metrics to these counts.
    pub fn measure(&self, metrics: &ServerMetrics) {
        metrics.connections.set(self.live() as i64);
        for refusal in Refusal::ALL {
            let counter = metrics.connections_closed.with_label_values(&[refusal.label()]);
            counter.reset();
            counter.inc_by(self.refused(refusal));
        }
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        self.0.refused[refusal as usize].fetch_add(1, Relaxed);
    }

    /// None at the hard limit.
    pub(super) fn admit(&self) -> Option<Place> {
        let below = |live: usize| (live < self.0.hard_limit).then_some(live + 1);
        let Ok(before) = self.0.live.fetch_update(Relaxed, Relaxed, below) else {
            self.refuse(Refusal::Limit);
            return None;
        };
        Some(Place { connections: self.clone(), over: before >= self.0.limit })
    }

    pub(super) fn is_over_limit(&self) -> bool {
        self.live() > self.0.limit
    }
}

/// One connection's place among them, until it is dropped.
pub(super) struct Place {
    pub(super) connections: Connections,
    /// Whether the limit was reached when it came.
    pub(super) over: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.0.live.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_until_it_is_dropped() {
        let connections = Connections::new(1, 2);
        let first = connections.admit().unwrap();
        let second = connections.admit().unwrap();
        assert_eq!((first.over, second.over, connections.live()), (false, true, 2));
        assert!(connections.admit().is_none());
        assert_eq!((connections.live(), connections.refused(Refusal::Limit)), (2, 1));
        drop(first);
        assert!(!connections.is_over_limit());
        let third = connections.admit().unwrap();
        assert!(third.over && connections.is_over_limit());
        drop((second, third));
        assert_eq!(connections.live(), 0);
    }

    #[test]
    fn every_refusal_has_a_count_and_a_label_of_its_own() {
        let connections = Connections::new(1, 1);
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
            connections.refuse(refusal);
        }
        assert!(Refusal::ALL.iter().all(|refusal| connections.refused(*refusal) == 1));
        let labels = std::collections::HashSet::from(Refusal::ALL.map(Refusal::label));
        assert_eq!(labels.len(), Refusal::ALL.len());
    }
}
