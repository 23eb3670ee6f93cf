//! The connection limits of a port, and how many connections were closed before they were served.

use crate::client::{ClientKey, share_of};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A connection younger than this is not evicted, so that there is time to serve a probe. A full
/// port accepts some 700 connections per second.
const MIN_EVICTION_AGE: Duration = Duration::from_millis(100);

/// The limits of a port.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections that are served in full. Connections above it, up to [`Limits::hard_limit`], are
    /// served too, and their peer is [over the limit](crate::client::Peer::is_over_limit).
    pub max_connections: usize,
    pub handshake_timeout: Duration,
    /// Bounds the time from the handshake to the first bytes.
    pub first_bytes_timeout: Duration,
    /// The age at which a connection is closed, with all requests on it. None: no limit.
    pub max_lifetime: Option<Duration>,
    /// Whether the oldest connection is closed at the hard limit. Otherwise the new one is.
    pub evicts_oldest: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A gRPC client has one connection for all its calls, so this is a large fleet or a
            // leak.
            max_connections: 2_000,
            // A handshake is two round trips and a signature. The rest is for lost packets and a
            // busy machine.
            handshake_timeout: Duration::from_secs(10),
            first_bytes_timeout: Duration::from_secs(10),
            max_lifetime: None,
            evicts_oldest: false,
        }
    }
}

impl Limits {
    /// Returns the number of connections from which on a new one is closed at once, or the oldest.
    /// The tenth above the limit lets clients get OVERLOADED, with a retry delay, where a closed
    /// connection would make them reconnect.
    pub fn hard_limit(&self) -> usize {
        self.max_connections.saturating_add(self.max_connections / 10 + 16)
    }
}

/// Why a connection was closed before it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The hard limit was reached.
    Limit,
    /// The TLS handshake failed, or the first bytes were not HTTP/2.
    Handshake,
    /// The TLS handshake or the first bytes took too long.
    Timeout,
    /// The peer closed it, as a balancer does that only probes whether the port is open.
    Left,
}

impl CloseReason {
    pub const ALL: [Self; 4] = [Self::Limit, Self::Handshake, Self::Timeout, Self::Left];

    /// The value of the metric's label `reason`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Handshake => "handshake",
            Self::Timeout => "timeout",
            Self::Left => "left",
        }
    }
}

/// The open connections by number, each with the time when it was accepted and the token that
/// evicts it.
#[derive(Debug, Default)]
struct Open {
    by_number: BTreeMap<u64, (Instant, CancellationToken)>,
    accepted: u64,
    by_client: HashMap<ClientKey, usize>,
    /// Connections beyond the shares of their clients. They take nothing from other clients.
    beyond_share: usize,
}

impl Open {
    /// Adds a connection of this client. Returns whether it is within the client's `share`.
    fn add(&mut self, client: &ClientKey, share: usize) -> bool {
        let count = self.by_client.entry(client.clone()).or_default();
        *count += 1;
        let is_within = *count <= share;
        self.beyond_share += usize::from(!is_within);
        is_within
    }

    fn remove(&mut self, client: &ClientKey, share: usize) {
        let count = self.by_client.get_mut(client).expect("its connections are counted");
        self.beyond_share -= usize::from(*count > share);
        *count -= 1;
        if *count == 0 {
            self.by_client.remove(client);
        }
    }

    fn count(&self, client: &ClientKey) -> usize {
        self.by_client.get(client).copied().unwrap_or_default()
    }
}

/// The connections of a port. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Connections {
    limits: Limits,
    open: Arc<Mutex<Open>>,
    closed: Arc<[AtomicU64; CloseReason::ALL.len()]>,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, open: Arc::default(), closed: Arc::default() }
    }

    /// Returns the number of open connections, including those in the handshake.
    pub fn live(&self) -> usize {
        self.open().by_number.len()
    }

    /// Returns how many connections were closed for this reason since the start.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize].load(Relaxed)
    }

    pub(super) fn record_closed(&self, reason: CloseReason) {
        self.closed[reason as usize].fetch_add(1, Relaxed);
    }

    /// Returns whether the next connection closes the oldest, or is closed itself.
    pub(super) fn is_full(&self) -> bool {
        self.live() >= self.limits.hard_limit()
    }

    /// Returns the time from which on the oldest connection can be evicted, if no connection can be
    /// accepted before.
    pub(super) fn next_eviction(&self) -> Option<Instant> {
        if !self.limits.evicts_oldest || !self.is_full() {
            return None;
        }
        let next = self.open().by_number.values().next().map(|(accepted, _)| *accepted + MIN_EVICTION_AGE);
        next.filter(|next| *next > Instant::now())
    }

    /// Returns a permit for a new connection of this client. At the hard limit, evicts the oldest
    /// connection or returns None. Returns None at the client's share of the hard limit, too.
    pub(super) fn admit(&self, client: ClientKey) -> Option<ConnectionPermit> {
        if self.is_full() {
            self.record_closed(CloseReason::Limit);
            if !self.limits.evicts_oldest {
                return None;
            }
            let oldest = self.open().by_number.pop_first();
            oldest.inspect(|(_, (_, evicted))| evicted.cancel());
        }
        let (mut open, evicted) = (self.open(), CancellationToken::new());
        if open.count(&client) >= self.hard_share() {
            self.record_closed(CloseReason::Limit);
            return None;
        }
        let number = open.accepted;
        open.accepted += 1;
        open.by_number.insert(number, (Instant::now(), evicted.clone()));
        let exceeds_limit = self.add(&mut open, &client);
        Some(ConnectionPermit { exceeds_limit, evicted, number, client, connections: self.clone() })
    }

    /// Counts a connection of this client. Returns whether it exceeds `max_connections`, or the
    /// client's share.
    fn add(&self, open: &mut Open, client: &ClientKey) -> bool {
        let is_within_share = open.add(client, self.share());
        !is_within_share || open.by_number.len() - open.beyond_share > self.limits.max_connections
    }

    pub(super) fn is_over_limit(&self, client: &ClientKey) -> bool {
        let open = self.open();
        open.count(client) > self.share() || open.by_number.len() - open.beyond_share > self.limits.max_connections
    }

    /// Returns how many connections of one client are served. The port that evicts has no shares.
    fn share(&self) -> usize {
        if self.limits.evicts_oldest { usize::MAX } else { share_of(self.limits.max_connections) }
    }

    /// Returns how many connections of one client are open at most. As the hard limit does, it lets
    /// clients get OVERLOADED.
    fn hard_share(&self) -> usize {
        self.share().saturating_add(self.limits.hard_limit() - self.limits.max_connections)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's permit, returned when it is dropped.
pub(super) struct ConnectionPermit {
    /// Whether the connection exceeded `max_connections` when it was accepted.
    pub(super) exceeds_limit: bool,
    /// Is cancelled when a newer connection needs the permit.
    pub(super) evicted: CancellationToken,
    number: u64,
    client: ClientKey,
    connections: Connections,
}

impl ConnectionPermit {
    /// Counts the connection for the client in its certificate, instead of its address. Returns
    /// whether it is within the client's share of the hard limit.
    pub(super) fn identify(&mut self, client: &ClientKey) -> bool {
        if self.client == *client {
            return true;
        }
        let mut open = self.connections.open();
        open.remove(&self.client, self.connections.share());
        self.exceeds_limit = self.connections.add(&mut open, client);
        self.client = client.clone();
        open.count(client) <= self.connections.hard_share()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.by_number.remove(&self.number);
        open.remove(&self.client, self.connections.share());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_counts_until_it_is_dropped() {
        let limits = Limits { max_connections: 1, ..Limits::default() };
        let connections = Connections::new(limits);
        let mut clients = (0..=u8::MAX).map(|number| ClientKey::Name(number.to_string().into()));
        let mut admit = || connections.admit(clients.next().unwrap());
        let first = admit().unwrap();
        let second = admit().unwrap();
        assert_eq!((first.exceeds_limit, second.exceeds_limit, connections.live()), (false, true, 2));
        let others: Vec<_> = (2..limits.hard_limit()).map(|_| admit().unwrap()).collect();
        assert!(admit().is_none());
        assert_eq!((connections.live(), connections.closed(CloseReason::Limit)), (limits.hard_limit(), 1));
        drop((first, others));
        assert!(!connections.is_over_limit(&ClientKey::Others));
        let third = admit().unwrap();
        assert!(third.exceeds_limit && connections.is_over_limit(&ClientKey::Others));
        drop((second, third));
        assert_eq!(connections.live(), 0);
    }

    #[test]
    fn one_client_leaves_a_tenth_of_the_connections_to_others() {
        let limits = Limits { max_connections: 100, ..Limits::default() };
        let (connections, [one, other]) =
            (Connections::new(limits), ["a", "b"].map(|name| ClientKey::Name(name.into())));
        let mut permits: Vec<_> = std::iter::from_fn(|| connections.admit(one.clone())).collect();
        assert_eq!((permits.len(), permits.iter().filter(|permit| !permit.exceeds_limit).count()), (116, 90));
        assert_eq!([&one, &other].map(|client| connections.is_over_limit(client)), [true, false]);
        for _ in 0..10 {
            let mut permit = connections.admit(ClientKey::Others).unwrap();
            assert!(permit.identify(&other) && !permit.exceeds_limit);
            permits.push(permit);
        }
        permits.pop();
        let mut certified = connections.admit(ClientKey::Others).unwrap();
        assert!(!certified.identify(&one), "another address with the same certificate");
        drop((permits, certified));
        assert!(connections.open().by_client.is_empty() && connections.open().beyond_share == 0);
    }

    #[test]
    fn a_full_port_that_evicts_closes_its_oldest_connections() {
        let limits = Limits { max_connections: 1, evicts_oldest: true, ..Limits::default() };
        let connections = Connections::new(limits);
        let permits: Vec<_> =
            (0..limits.hard_limit() + 2).map(|_| connections.admit(ClientKey::Others).unwrap()).collect();
        let evicted = permits.iter().filter(|permit| permit.evicted.is_cancelled()).count();
        assert_eq!((evicted, connections.live()), (2, limits.hard_limit()));
        assert!(permits[0].evicted.is_cancelled() && permits[1].evicted.is_cancelled());
        assert!(connections.next_eviction().is_some(), "the others are young");
        drop(permits);
        assert_eq!((connections.live(), connections.next_eviction()), (0, None));
    }

    #[test]
    fn every_close_reason_has_a_counter_and_a_label_of_its_own() {
        let connections = Connections::new(Limits::default());
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            connections.record_closed(reason);
        }
        assert!(CloseReason::ALL.iter().all(|reason| connections.closed(*reason) == 1));
        let labels = std::collections::HashSet::from(CloseReason::ALL.map(CloseReason::label));
        assert_eq!(labels.len(), CloseReason::ALL.len());
    }
}
