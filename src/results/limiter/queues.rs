//! The queues of the rate limiter, and this replica's own permits: a token bucket with a rate that
//! adapts to throttling.

use super::estimate::ReservationEstimate;
use crate::results::priority::{Priority, ReReadPriority};
use std::{collections::VecDeque, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// The size of the bucket: half a second of permits. AWS does not document its own. A bucket of one
/// second is usual there, and requests can arrive closer together than they were sent.
const BURST_SECONDS: f64 = 0.5;

/// First reads granted in a row while re-reads wait.
const FIRST_READS_IN_A_ROW: usize = 3;

/// The factor of the multiplicative decrease.
const DECREASE: f64 = 0.8;

/// The time of the additive increase from zero to the full rate: slow enough that AWS does not
/// throttle all the time, and fast enough after a burst of another user of the account.
pub const RECOVERY: Duration = Duration::from_secs(30);

/// The smallest rate, as a fraction of the full rate. Some reads are needed to find that AWS no
/// longer throttles.
pub const FLOOR: f64 = 0.02;

/// The right to one HTTP attempt.
#[derive(Debug)]
pub struct Permit {
    pub granted: Instant,
}

pub struct Queues {
    first_reads: VecDeque<Ticket>,
    re_reads: Vec<(Ticket, ReReadPriority)>,
    captures: VecDeque<Ticket>,
    first_reads_in_a_row: usize,
    next_number: u64,
    /// This replica's own permits that are available now.
    pub permits: f64,
    /// Permits per second, now and while AWS does not throttle.
    pub rate: f64,
    full_rate: f64,
    refilled: Instant,
    last_decrease: Instant,
    /// None while the shared quota is not in use.
    pub reservations: Option<ReservationEstimate>,
}

struct Ticket {
    number: u64,
    grant: oneshot::Sender<Permit>,
    /// Whether a permit can be granted. Until then the ticket only keeps its position.
    is_ready: bool,
}

impl Queues {
    pub fn new(rate: f64) -> Self {
        let now = Instant::now();
        Self {
            first_reads: VecDeque::new(),
            re_reads: Vec::new(),
            captures: VecDeque::new(),
            first_reads_in_a_row: 0,
            next_number: 0,
            permits: burst(rate),
            rate,
            full_rate: rate,
            refilled: now,
            last_decrease: now,
            reservations: None,
        }
    }

    /// Adds a ticket, and returns its number.
    pub fn enqueue(&mut self, priority: Priority, grant: oneshot::Sender<Permit>, is_ready: bool) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let ticket = Ticket { number, grant, is_ready };
        match priority {
            Priority::FirstRead => self.first_reads.push_back(ticket),
            Priority::ReRead(priority) => self.re_reads.push((ticket, priority)),
            Priority::Capture => self.captures.push_back(ticket),
        }
        number
    }

    pub fn make_ready(&mut self, number: u64) {
        if let Some(ticket) = self.first_reads.iter_mut().find(|ticket| ticket.number == number) {
            ticket.is_ready = true;
        }
    }

    pub fn leave(&mut self, number: u64) {
        self.first_reads.retain(|ticket| ticket.number != number);
        self.re_reads.retain(|(ticket, _)| ticket.number != number);
        self.captures.retain(|ticket| ticket.number != number);
    }

    /// Returns the lengths of the queues: first reads, re-reads, captures.
    pub fn lengths(&self) -> [usize; 3] {
        [self.first_reads.len(), self.re_reads.len(), self.captures.len()]
    }

    /// Returns how long a first read that is queued now waits for its permit, if no other one is
    /// queued after it. The re-reads of the sessions ahead of it get their share meanwhile.
    pub fn first_read_delay(&mut self) -> Duration {
        let ahead = self.first_reads.len();
        let in_a_row = if self.re_reads.is_empty() { 0 } else { self.first_reads_in_a_row.min(FIRST_READS_IN_A_ROW) };
        let ahead = ahead + (ahead + in_a_row) / FIRST_READS_IN_A_ROW;
        if let Some(reservations) = &self.reservations {
            return reservations.delay(Instant::now(), ahead);
        }
        self.refill();
        Duration::from_secs_f64((((ahead + 1) as f64 - self.permits) / self.rate).max(0.0))
    }

    /// Decreases the rate. Permits that were granted before the last decrease do not count.
    pub fn throttled(&mut self, permit: &Permit) {
        self.refill();
        if permit.granted >= self.last_decrease {
            self.rate = (self.rate * DECREASE).max(self.full_rate * FLOOR);
            self.permits = self.permits.min(0.0);
            self.last_decrease = self.refilled;
        }
    }

    /// Grants this replica's own permits. Returns the time until the next grant if a ticket waits.
    pub fn grant_own(&mut self) -> Option<Duration> {
        self.refill();
        loop {
            let needed = match self.next_priority()? {
                Priority::FirstRead | Priority::ReRead(_) => 1.0,
                Priority::Capture => burst(self.rate),
            };
            // The timer may fire a nanosecond early.
            if self.permits + 1e-6 < needed {
                return Some(Duration::from_secs_f64((needed - self.permits) / self.rate));
            }
            self.grant_next();
        }
    }

    /// Grants a permit of the shared quota. This replica's own permits do not become fewer than
    /// none, since they are the fallback.
    pub fn grant_reserved(&mut self) {
        self.grant_next();
        self.permits = self.permits.max(0.0);
    }

    /// Grants an unused permit again, except to a capture, which needs a full bucket.
    pub fn regrant(&mut self) {
        self.permits += 1.0;
        if self.next_priority().is_some_and(|priority| priority != Priority::Capture) {
            self.grant_reserved();
        }
    }

    /// Returns the priority of the ticket that gets the next permit.
    pub fn next_priority(&self) -> Option<Priority> {
        let re_read = self.re_reads.first().map(|(_, priority)| Priority::ReRead(*priority));
        let is_turn_of_re_read = self.first_reads_in_a_row >= FIRST_READS_IN_A_ROW && re_read.is_some();
        let first_read = self.first_reads.iter().any(|ticket| ticket.is_ready).then_some(Priority::FirstRead);
        let capture = self.captures.front().map(|_| Priority::Capture);
        first_read.filter(|_| !is_turn_of_re_read).or(re_read).or(capture)
    }

    /// Returns the rate as a fraction of the full rate.
    pub fn rate_fraction(&mut self) -> f64 {
        self.refill();
        self.rate / self.full_rate
    }

    fn grant_next(&mut self) {
        let permit = Permit { granted: Instant::now() };
        if self.pop().is_some_and(|ticket| ticket.grant.send(permit).is_ok()) {
            self.permits -= 1.0;
        }
    }

    fn pop(&mut self) -> Option<Ticket> {
        let priority = self.next_priority()?;
        self.first_reads_in_a_row = if priority == Priority::FirstRead { self.first_reads_in_a_row + 1 } else { 0 };
        match priority {
            Priority::FirstRead => {
                let first = self.first_reads.iter().position(|ticket| ticket.is_ready)?;
                self.first_reads.remove(first)
            }
            Priority::ReRead(_) => {
                let now = Instant::now();
                let value = |index: &usize| self.re_reads[*index].1.at(now);
                let highest = (0..self.re_reads.len()).max_by(|a, b| value(a).total_cmp(&value(b)))?;
                Some(self.re_reads.swap_remove(highest).0)
            }
            Priority::Capture => self.captures.pop_front(),
        }
    }

    fn refill(&mut self) {
        let now = Instant::now();
        let seconds = (now - self.refilled).as_secs_f64();
        let permits = self.permits + seconds * self.rate;
        self.rate = (self.rate + self.full_rate * seconds / RECOVERY.as_secs_f64()).min(self.full_rate);
        // The burst of the new rate: with the old one a capture would never find a full bucket.
        self.permits = permits.min(burst(self.rate));
        self.refilled = now;
    }
}

/// Returns the permits that can be granted at once after an idle time.
pub fn burst(rate: f64) -> f64 {
    (rate * BURST_SECONDS).max(1.0)
}
