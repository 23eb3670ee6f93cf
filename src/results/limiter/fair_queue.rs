//! The queue of first reads, fair by client.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng, 1996): each read has a virtual start time, and
//! the lowest is granted first. A client's next read starts one read, divided by its weight, after
//! its last one, but not before the virtual time, which is the latest start of a granted read. So
//! clients of equal weight take turns, and an idle client's share goes to the others.
//!
//! A client that has had less than its share of the last window comes first, so that it does not
//! wait for a turn of each other client.
//!
//! A client's weight falls with the part of its ids that AWS does not know, from 1 to [`FLOOR`]. A
//! read that several clients wait for has a position in each client's queue: the best one counts.

use super::{permits::Permit, window::Limit};
use crate::client::ClientKey;
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// Clients with a queue of their own. All others have one queue together.
const MAX_CLIENTS: usize = 256;

/// A client is forgotten this long after its last first read.
const MEMORY: Duration = Duration::from_secs(60);

/// The lowest weight: a tenth of that of a client whose ids AWS knows.
const FLOOR: f64 = 0.1;

/// The weight of one read in the average of known and unknown ids: that of the last 16 or so.
const DECAY: f64 = 1.0 / 16.0;

/// What a ticket gets: a permit, or the delay of its queue, which is full.
pub type Grant = Result<Permit, Duration>;

pub struct FairQueue {
    /// The window whose grants the clients share.
    limit: Limit,
    tickets: HashMap<u64, Ticket>,
    clients: HashMap<ClientKey, Client>,
    virtual_time: f64,
}

struct Ticket {
    grant: oneshot::Sender<Grant>,
    /// Whether a permit can be granted. Until then the ticket only keeps its position.
    is_ready: bool,
    clients: Vec<ClientKey>,
}

struct Client {
    /// The numbers of its tickets.
    queue: VecDeque<u64>,
    /// The virtual time from which its next read starts.
    next_start: f64,
    /// The part of its last ids that AWS did not know.
    unknown: f64,
    last_seen: Instant,
    /// When its last reads were granted, at most as many as a window has.
    grants: VecDeque<Instant>,
}

/// The read that is granted next.
pub struct Next {
    pub number: u64,
    client: ClientKey,
    start: f64,
    /// Whether its client has got its share already, and must leave permits for others.
    pub is_beyond_share: bool,
}

/// The reads that are granted before another one.
#[derive(Default)]
pub struct Ahead {
    pub reads: usize,
    /// Their number, each divided by the weight of its client.
    pub weighted: f64,
    /// Whether the client of the other read has got its share already.
    pub is_beyond_share: bool,
}

impl FairQueue {
    pub fn new(limit: Limit) -> Self {
        Self { limit, tickets: HashMap::new(), clients: HashMap::new(), virtual_time: 0.0 }
    }

    #[cfg(test)]
    pub fn queues(&self) -> usize {
        self.clients.len()
    }

    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    pub fn push(&mut self, number: u64, clients: &[ClientKey], grant: oneshot::Sender<Grant>, is_ready: bool) {
        self.tickets.insert(number, Ticket { grant, is_ready, clients: Vec::new() });
        clients.iter().for_each(|client| self.join(number, client));
    }

    pub fn make_ready(&mut self, number: u64) {
        if let Some(ticket) = self.tickets.get_mut(&number) {
            ticket.is_ready = true;
        }
    }

    /// Adds a client that waits for the read, at the end of the client's queue.
    pub fn join(&mut self, number: u64, client: &ClientKey) {
        let Some(ticket) = self.tickets.get_mut(&number) else { return };
        let now = Instant::now();
        self.clients.retain(|_, client| !client.queue.is_empty() || now < client.last_seen + MEMORY);
        let is_full = self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(client);
        let client = if is_full { &ClientKey::Others } else { client };
        if ticket.clients.contains(client) {
            return;
        }
        ticket.clients.push(client.clone());
        let client = self.clients.entry(client.clone()).or_insert_with(|| Client::new(now));
        client.last_seen = now;
        client.queue.push_back(number);
    }

    /// Removes a client that no longer waits for the read. The last client keeps its position.
    pub fn leave(&mut self, number: u64, client: &ClientKey) {
        let Some(ticket) = self.tickets.get_mut(&number).filter(|ticket| ticket.clients.len() > 1) else { return };
        let Some(index) = ticket.clients.iter().position(|other| other == client) else { return };
        let client = ticket.clients.swap_remove(index);
        self.leave_queue(number, &client);
    }

    pub fn remove(&mut self, number: u64) {
        let Some(ticket) = self.tickets.remove(&number) else { return };
        ticket.clients.iter().for_each(|client| self.leave_queue(number, client));
    }

    /// Returns the ready read with the lowest virtual start, of the clients below their share if
    /// there are any.
    pub fn next(&self) -> Option<Next> {
        let weights = self.weights();
        let reads = self.clients.iter().filter_map(|(key, client)| {
            let number = *client.queue.iter().find(|number| self.tickets[number].is_ready)?;
            let is_beyond_share = self.is_beyond_share(client, 0, weights);
            Some((is_beyond_share, client.start(self.virtual_time), number, key))
        });
        let order = |a: &(bool, f64, u64, _), b: &(bool, f64, u64, _)| {
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
        };
        let (is_beyond_share, start, number, client) = reads.min_by(order)?;
        Some(Next { number, client: client.clone(), start, is_beyond_share })
    }

    /// Removes the next read, on account of its client.
    pub fn pop(&mut self, next: Next) -> Option<(oneshot::Sender<Grant>, ClientKey, f64)> {
        let ticket = self.tickets.remove(&next.number)?;
        ticket.clients.iter().for_each(|client| self.leave_queue(next.number, client));
        let client = self.clients.get_mut(&next.client)?;
        let cost = 1.0 / client.weight();
        client.next_start = next.start + cost;
        client.grants.push_back(Instant::now());
        client.grants.drain(..client.grants.len().saturating_sub(self.limit.grants));
        self.virtual_time = self.virtual_time.max(next.start);
        Some((ticket.grant, next.client, cost))
    }

    /// Removes the last read of the longest queue, so that this client can queue another one. None
    /// if the client's own queue is about as long.
    pub fn displace(&mut self, client: &ClientKey) -> Option<(oneshot::Sender<Grant>, ClientKey)> {
        let own = self.clients.get(client).map_or(0, |client| client.queue.len());
        let (longest, queue) = self.clients.iter().max_by_key(|(_, client)| client.queue.len())?;
        if queue.queue.len() <= own + 1 {
            return None;
        }
        // Others wait for a shared read too.
        let number = *queue.queue.iter().rev().find(|number| self.tickets[number].clients.len() == 1)?;
        let (longest, grant) = (longest.clone(), self.tickets.remove(&number)?.grant);
        self.leave_queue(number, &longest);
        Some((grant, longest))
    }

    /// Records whether AWS knew an id of this client.
    pub fn record_read(&mut self, client: &ClientKey, is_known: bool) {
        if let Some(client) = self.clients.get_mut(client) {
            client.unknown += (f64::from(u8::from(!is_known)) - client.unknown) * DECAY;
        }
    }

    /// Returns the reads before one that this client queues now.
    pub fn ahead_of_new(&self, client: &ClientKey) -> Ahead {
        self.ahead(client, self.clients.get(client).map_or(0, |client| client.queue.len()))
    }

    /// Returns the reads before the one with this number, in each of its queues. Empty if it is not
    /// in the queue.
    pub fn ahead_of(&self, number: u64) -> Vec<Ahead> {
        let ahead = |key: &ClientKey| {
            let own = self.clients.get(key)?.queue.iter().position(|other| *other == number)?;
            Some(self.ahead(key, own))
        };
        self.tickets.get(&number).map_or_else(Vec::new, |ticket| ticket.clients.iter().filter_map(ahead).collect())
    }

    /// Returns the reads before one of this client with `own` reads before it in the same queue.
    fn ahead(&self, key: &ClientKey, own: usize) -> Ahead {
        let Some(client) = self.clients.get(key) else { return Ahead::default() };
        let cost = 1.0 / client.weight();
        let start = client.start(self.virtual_time) + own as f64 * cost;
        let is_beyond_share = self.is_beyond_share(client, own, self.weights());
        let mut ahead = Ahead { reads: own, weighted: own as f64 * cost, is_beyond_share };
        for (_, other) in self.clients.iter().filter(|(other, _)| is_beyond_share && *other != key) {
            let turns = (start - other.start(self.virtual_time)) * other.weight();
            let reads = if turns < 0.0 { 0 } else { other.queue.len().min(turns as usize + 1) };
            ahead.reads += reads;
            ahead.weighted += reads as f64 / other.weight();
        }
        ahead
    }

    /// Returns the sum of the weights of all clients.
    fn weights(&self) -> f64 {
        self.clients.values().map(Client::weight).sum()
    }

    /// Returns whether a client has had its share of the last window after `own` more reads. A lone
    /// client can use the whole window.
    fn is_beyond_share(&self, client: &Client, own: usize, weights: f64) -> bool {
        let now = Instant::now();
        let recent = client.grants.iter().rev().take_while(|at| now < **at + self.limit.length).count();
        let share = self.limit.grants as f64 * client.weight() / weights;
        self.clients.len() > 1 && (recent + own) as f64 >= share.floor().max(1.0)
    }

    fn leave_queue(&mut self, number: u64, client: &ClientKey) {
        if let Some(client) = self.clients.get_mut(client) {
            client.queue.retain(|other| *other != number);
        }
    }
}

impl Client {
    fn new(now: Instant) -> Self {
        Self { queue: VecDeque::new(), next_start: 0.0, unknown: 0.0, last_seen: now, grants: VecDeque::new() }
    }

    fn start(&self, virtual_time: f64) -> f64 {
        self.next_start.max(virtual_time)
    }

    fn weight(&self) -> f64 {
        1.0 - (1.0 - FLOOR) * self.unknown
    }
}
