//! The queues of the rate limiter: which read gets the next permit, and when.

use super::{
    estimate::ReservationEstimate,
    fair_queue::{Ahead, FairQueue, Grant},
    permits::{Permit, Permits},
    window::{JITTER, LATENESS, Limit},
};
use crate::{
    client::ClientKey,
    results::priority::{Priority, ReReadPriority},
};
use std::{collections::VecDeque, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// First reads granted in a row while re-reads wait. One of a client with a lower weight counts as
/// several.
const FIRST_READS_IN_A_ROW: f64 = 3.0;

/// Other reads granted in a row while reads of unknown ids wait.
const OTHERS_IN_A_ROW: usize = 9;

/// How long this replica stays within its own share after Redis was unavailable. Then the other
/// replicas have connected again too, and count their reads in Redis.
const RETURN: Duration = Duration::from_secs(3);

pub struct Queues {
    pub first_reads: FairQueue,
    re_reads: Vec<(Ticket, ReReadPriority)>,
    captures: VecDeque<Ticket>,
    /// Reads of ids that AWS did not know.
    not_found: VecDeque<Ticket>,
    first_reads_in_a_row: f64,
    others_in_a_row: usize,
    /// When a read of an unknown id can have its turn again.
    not_found_deferred: Instant,
    next_number: u64,
    /// Whether the next first read waits for a permit of this replica.
    first_read_waits: bool,
    pub own: Permits,
    /// None while the shared quota is not in use.
    reservations: Option<ReservationEstimate>,
    own_until: Instant,
}

struct Ticket {
    number: u64,
    grant: oneshot::Sender<Grant>,
}

impl Queues {
    /// `rate` is this replica's own share.
    pub fn new(rate: f64, limit: Limit) -> Self {
        let now = Instant::now();
        Self {
            first_reads: FairQueue::new(limit),
            re_reads: Vec::new(),
            captures: VecDeque::new(),
            not_found: VecDeque::new(),
            first_reads_in_a_row: 0.0,
            others_in_a_row: 0,
            not_found_deferred: now,
            next_number: 0,
            first_read_waits: false,
            own: Permits::new(rate, limit),
            reservations: None,
            own_until: now,
        }
    }

    /// Adds the ticket of a first read for these clients, and returns its number.
    pub fn enqueue_first_read(&mut self, clients: &[ClientKey], grant: oneshot::Sender<Grant>, is_ready: bool) -> u64 {
        let number = self.number();
        self.first_reads.push(number, clients, grant, is_ready);
        number
    }

    /// Adds the ticket of another read, and returns its number.
    pub fn enqueue(&mut self, priority: Priority, grant: oneshot::Sender<Grant>) -> u64 {
        let number = self.number();
        let ticket = Ticket { number, grant };
        match priority {
            Priority::FirstRead => self.first_reads.push(number, &[ClientKey::Others], ticket.grant, true),
            Priority::ReRead(priority) => self.re_reads.push((ticket, priority)),
            Priority::Capture => self.captures.push_back(ticket),
            Priority::NotFound => self.not_found.push_back(ticket),
        }
        number
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub fn leave(&mut self, number: u64) {
        self.first_reads.remove(number);
        self.re_reads.retain(|(ticket, _)| ticket.number != number);
        self.captures.retain(|ticket| ticket.number != number);
        self.not_found.retain(|ticket| ticket.number != number);
    }

    /// Returns the lengths of the queues: first reads, re-reads, captures, unknown ids.
    pub fn lengths(&self) -> [usize; 4] {
        [self.first_reads.len(), self.re_reads.len(), self.captures.len(), self.not_found.len()]
    }

    /// Returns how long a first read that this client queues now waits for its permit, if no other
    /// one is queued after it.
    pub fn first_read_delay(&mut self, client: &ClientKey) -> Duration {
        let ahead = self.first_reads.ahead_of_new(client);
        self.delay_behind(&ahead)
    }

    /// Returns how long the first read with this ticket still waits if this client waits for it
    /// too. None if it is not in the queue.
    pub fn delay_of(&mut self, number: u64, client: &ClientKey) -> Option<Duration> {
        let positions = self.first_reads.ahead_of(number);
        let best = positions.iter().map(|ahead| self.delay_behind(ahead)).min()?;
        Some(best.min(self.first_read_delay(client)))
    }

    /// Rejects the last first read of the client with the longest queue, with the delay of that
    /// queue, so that this client can queue another one. Returns whether it did.
    pub fn displace(&mut self, client: &ClientKey) -> bool {
        let Some((grant, displaced)) = self.first_reads.displace(client) else { return false };
        grant.send(Err(self.first_read_delay(&displaced))).ok();
        true
    }

    /// Returns how long a first read waits behind others. Re-reads and unknown ids get their share
    /// meanwhile.
    fn delay_behind(&mut self, first_reads: &Ahead) -> Duration {
        let until_re_read = match self.re_reads.is_empty() {
            // Those of the first reads themselves come later.
            true => first_reads.reads as f64,
            false => first_reads.weighted + self.first_reads_in_a_row.min(FIRST_READS_IN_A_ROW),
        };
        let ahead = first_reads.reads + (until_re_read / FIRST_READS_IN_A_ROW) as usize;
        let ahead = if self.not_found.is_empty() { ahead } else { ahead + ahead / OTHERS_IN_A_ROW };
        let now = Instant::now();
        match &self.reservations {
            Some(reservations) if now >= self.own_until => reservations.delay(now, ahead),
            _ => self.own.delay(ahead, first_reads.is_beyond_share),
        }
    }

    /// Returns whether permits come from the shared quota.
    pub const fn is_shared(&self) -> bool {
        self.reservations.is_some()
    }

    /// Grants this replica's own permits. Returns the time until the next grant if a ticket waits.
    pub fn grant_own(&mut self) -> Option<Duration> {
        loop {
            let priority = self.next_priority()?;
            let (due, now) = (self.due(priority), Instant::now());
            // The timer may fire a nanosecond early.
            if due > now + Duration::from_micros(1) {
                self.first_read_waits = priority == Priority::FirstRead;
                return Some(due - now);
            }
            // A late timer does not delay the grants after this one.
            self.grant(priority, due.max(now - LATENESS));
        }
    }

    /// Returns when this replica can grant its own next permit.
    fn due(&mut self, priority: Priority) -> Instant {
        match priority {
            Priority::FirstRead if self.is_beyond_share() => self.own.shared_at(),
            Priority::FirstRead => self.own.spaced_at(),
            // Its turn, while first reads wait.
            Priority::ReRead(_) if self.first_reads.next().is_some() => self.own.available_at(),
            Priority::ReRead(_) => self.own.paced_at(),
            Priority::NotFound if self.others_in_a_row >= OTHERS_IN_A_ROW => self.own.available_at(),
            Priority::NotFound | Priority::Capture => self.own.spare_at(),
        }
    }

    /// Returns how long no permit of the shared quota can be reserved for this priority. For a
    /// short while after Redis was unavailable, this replica stays within its own share too.
    pub fn reservation_delay(&mut self, priority: Priority) -> Option<Duration> {
        let now = Instant::now();
        let own = if now < self.own_until { self.due(priority) } else { now };
        let deferred = if priority == Priority::NotFound { self.not_found_deferred } else { now };
        let delay = own.max(deferred).saturating_duration_since(now);
        (!delay.is_zero()).then_some(delay)
    }

    /// Returns whether the next permit is for a first read of a client within its share, and can be
    /// reserved in the shared quota beside another one. This replica's own share does not count
    /// what is reserved, so while it applies, one read is reserved at a time.
    pub fn first_read_can_be_reserved(&mut self) -> bool {
        self.next_priority() == Some(Priority::FirstRead) && !self.is_beyond_share() && self.own_until <= Instant::now()
    }

    /// Records a reservation of the shared quota.
    pub fn reserved(&mut self, at: Instant, limit: Limit) {
        self.reservations.get_or_insert_with(|| ReservationEstimate::new(limit)).record(Instant::now(), at);
    }

    /// Uses this replica's own share, since Redis is unavailable. For a second, the reads of all
    /// replicas from before fill the quota.
    pub fn use_own_share(&mut self) {
        if self.reservations.take().is_some() {
            self.own.fill_window();
        }
        self.own_until = Instant::now() + RETURN;
    }

    /// Grants a permit of the shared quota that was reserved for this priority, or a more urgent
    /// one.
    pub fn grant_reserved(&mut self, reserved: Priority) {
        let known = self.next_known().filter(|_| reserved != Priority::NotFound);
        self.grant(known.unwrap_or(reserved), Instant::now());
        self.own.clear_debt();
    }

    /// Takes an unused permit back. One of the shared quota is granted again, if that is not too
    /// late, and not to a capture.
    pub fn pass_on(&mut self, permit: &Permit) {
        self.own.give_back(permit);
        if self.is_shared()
            && permit.granted.elapsed() <= JITTER
            && let Some(priority) = self.next_known().filter(|priority| *priority != Priority::Capture)
        {
            self.grant_reserved(priority);
        }
    }

    /// Delays reads of unknown ids, for which the shared quota has no permit now. Returns whether
    /// other reads wait.
    pub fn defer_not_found(&mut self, delay: Duration) -> bool {
        self.not_found_deferred = Instant::now() + delay;
        self.next_known().is_some()
    }

    /// Returns the priority of the ticket that gets the next permit.
    pub fn next_priority(&self) -> Option<Priority> {
        let not_found = (!self.not_found.is_empty()).then_some(Priority::NotFound);
        let has_turn = self.others_in_a_row >= OTHERS_IN_A_ROW && self.not_found_deferred <= Instant::now();
        not_found.filter(|_| has_turn).or_else(|| self.next_known()).or(not_found)
    }

    /// Returns the priority of the next ticket, except those of unknown ids.
    fn next_known(&self) -> Option<Priority> {
        let re_read = self.re_reads.first().map(|(_, priority)| Priority::ReRead(*priority));
        let is_turn_of_re_read = self.first_reads_in_a_row >= FIRST_READS_IN_A_ROW && re_read.is_some();
        let first_read = self.first_reads.next().map(|_| Priority::FirstRead);
        let capture = self.captures.front().map(|_| Priority::Capture);
        first_read.filter(|_| !is_turn_of_re_read).or(re_read).or(capture)
    }

    /// Returns whether the next first read must leave permits for other clients.
    pub fn is_beyond_share(&self) -> bool {
        self.first_reads.next().is_some_and(|next| next.is_beyond_share)
    }

    fn grant(&mut self, priority: Priority, due: Instant) {
        let Some((grant, client, cost)) = self.pop(priority) else { return };
        let is_first_read = priority == Priority::FirstRead;
        let mut permit =
            self.own.take(due, !is_first_read, is_first_read && std::mem::take(&mut self.first_read_waits));
        permit.client = client;
        if let Err(Ok(permit)) = grant.send(Ok(permit)) {
            return self.own.give_back(&permit);
        }
        self.first_reads_in_a_row = match priority {
            Priority::FirstRead => self.first_reads_in_a_row.min(FIRST_READS_IN_A_ROW) + cost,
            Priority::ReRead(_) | Priority::Capture => (self.first_reads_in_a_row - FIRST_READS_IN_A_ROW).max(0.0),
            Priority::NotFound => self.first_reads_in_a_row,
        };
        self.others_in_a_row = if priority == Priority::NotFound { 0 } else { self.others_in_a_row + 1 };
    }

    /// Removes the next ticket of this priority. Returns it with the client of a first read, and
    /// how many first reads it counts as.
    fn pop(&mut self, priority: Priority) -> Option<(oneshot::Sender<Grant>, Option<ClientKey>, f64)> {
        let ticket = match priority {
            Priority::FirstRead => {
                let (grant, client, cost) = self.first_reads.next().and_then(|next| self.first_reads.pop(next))?;
                return Some((grant, Some(client), cost));
            }
            Priority::ReRead(_) => {
                let now = Instant::now();
                let value = |index: &usize| self.re_reads[*index].1.at(now);
                let highest = (0..self.re_reads.len()).max_by(|a, b| value(a).total_cmp(&value(b)))?;
                Some(self.re_reads.swap_remove(highest).0)
            }
            Priority::Capture => self.captures.pop_front(),
            Priority::NotFound => self.not_found.pop_front(),
        };
        Some((ticket?.grant, None, 0.0))
    }
}
