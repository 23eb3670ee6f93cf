//! Those who wait for a token, and whose turn it is.

use super::{Permit, account::Slots};
use crate::results::priority::{Priority, ReReadPriority};
use std::{collections::VecDeque, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// Tokens that an idle limiter saves: half a second of them. AWS does not say how it counts; a
/// bucket of one second is what it does elsewhere, and half of that leaves room for requests that
/// arrive closer together than they were sent.
pub const BURST_SECONDS: f64 = 0.5;

/// While re-reads wait, first reads get so many tokens in a row.
const FIRST_READS_IN_A_ROW: usize = 3;

/// What is left of the rate after AWS has throttled.
const DECREASE: f64 = 0.8;

/// The rate comes back from nothing in this time: slowly enough that AWS is not throttling all the
/// time, and soon enough after a neighbour's burst.
pub const RECOVERY: Duration = Duration::from_secs(30);

/// The rate never falls below this share of the full one: somebody has to find out that AWS answers
/// again.
pub const FLOOR: f64 = 0.02;

/// The queues, and the tokens that this replica has of its own.
pub struct Queues {
    pub tokens: f64,
    filled: Instant,
    pub rate: f64,
    last_decrease: Instant,
    first_reads: VecDeque<Ticket>,
    re_reads: Vec<(Ticket, ReReadPriority)>,
    captures: VecDeque<Ticket>,
    first_reads_in_a_row: usize,
    next_ticket: u64,
    /// How the account's slots come, when they do.
    pub slots: Option<Slots>,
}

struct Ticket {
    number: u64,
    grant: oneshot::Sender<Permit>,
    /// Whether its holder may read. Until then it only keeps its place.
    is_ready: bool,
}

impl Queues {
    pub fn new(rate: f64) -> Self {
        let now = Instant::now();
        Self {
            tokens: burst(rate),
            filled: now,
            rate,
            last_decrease: now,
            first_reads: VecDeque::new(),
            re_reads: Vec::new(),
            captures: VecDeque::new(),
            first_reads_in_a_row: 0,
            next_ticket: 0,
            slots: None,
        }
    }

    pub fn enqueue(&mut self, need: Priority, grant: oneshot::Sender<Permit>, is_ready: bool) -> u64 {
        let number = self.next_ticket;
        self.next_ticket += 1;
        let ticket = Ticket { number, grant, is_ready };
        match need {
            Priority::FirstRead => self.first_reads.push_back(ticket),
            Priority::ReRead(urgency) => self.re_reads.push((ticket, urgency)),
            Priority::Capture => self.captures.push_back(ticket),
        }
        number
    }

    /// Its holder can read from now on.
    pub fn make_ready(&mut self, number: u64) {
        if let Some(ticket) = self.first_reads.iter_mut().find(|ticket| ticket.number == number) {
            ticket.is_ready = true;
        }
    }

    /// How many wait: for first reads, re-reads, captures.
    pub fn waiting(&self) -> [usize; 3] {
        [self.first_reads.len(), self.re_reads.len(), self.captures.len()]
    }

    /// See [`super::Limiter::first_read_delay`].
    pub fn first_read_delay(&self, now: Instant) -> Duration {
        let ahead = self.first_reads.len();
        let in_a_row = if self.re_reads.is_empty() { 0 } else { self.first_reads_in_a_row.min(FIRST_READS_IN_A_ROW) };
        let re_reads = (ahead + in_a_row) / FIRST_READS_IN_A_ROW;
        if let Some(slots) = &self.slots {
            return slots.delay(now, ahead + re_reads);
        }
        let tokens = (ahead + re_reads + 1) as f64 - self.tokens_at(now);
        Duration::from_secs_f64((tokens / self.rate).max(0.0))
    }

    /// AWS has throttled the attempt.
    pub fn throttled(&mut self, permit: &Permit, now: Instant, full_rate: f64) {
        self.refill(now, full_rate);
        if permit.granted >= self.last_decrease {
            self.rate = (self.rate * DECREASE).max(full_rate * FLOOR);
            self.tokens = self.tokens.min(0.0);
            self.last_decrease = now;
        }
    }

    pub fn leave(&mut self, number: u64) {
        self.first_reads.retain(|ticket| ticket.number != number);
        self.re_reads.retain(|(ticket, _)| ticket.number != number);
        self.captures.retain(|ticket| ticket.number != number);
    }

    /// Serves the queues with the tokens there are. Answers how long it takes until the next token
    /// for somebody who waits.
    pub fn grant_all(&mut self, now: Instant, full_rate: f64) -> Option<Duration> {
        self.refill(now, full_rate);
        loop {
            let price = match self.next_need()? {
                Priority::FirstRead | Priority::ReRead(_) => 1.0,
                Priority::Capture => burst(self.rate),
            };
            // A clock that is a nanosecond short must not cost another turn.
            if self.tokens + 1e-6 < price {
                return Some(Duration::from_secs_f64((price - self.tokens) / self.rate));
            }
            self.grant_next(now);
        }
    }

    /// Gives a token to whose turn it is. Whoever has just left takes none.
    fn grant_next(&mut self, now: Instant) {
        if let Some(ticket) = self.next(now)
            && ticket.grant.send(Permit { granted: now }).is_ok()
        {
            self.tokens -= 1.0;
        }
    }

    /// The same with a slot of the account's. This replica's own tokens stand by for when the
    /// account has none, and are not saved up meanwhile.
    pub fn grant_slot(&mut self, now: Instant) {
        self.grant_next(now);
        self.tokens = self.tokens.max(0.0);
    }

    /// Gives back a token that was granted in vain, to whoever is next. A capture has to wait for
    /// one that nobody else wants.
    pub fn pass_on(&mut self, now: Instant) {
        self.tokens += 1.0;
        if self.next_need().is_some_and(|need| need != Priority::Capture) {
            self.grant_slot(now);
        }
    }

    /// What the next token is for.
    pub fn next_need(&self) -> Option<Priority> {
        let re_read = self.re_reads.first().map(|(_, urgency)| Priority::ReRead(*urgency));
        let row_is_full = self.first_reads_in_a_row >= FIRST_READS_IN_A_ROW && re_read.is_some();
        let first_read = self.first_reads.iter().any(|ticket| ticket.is_ready).then_some(Priority::FirstRead);
        first_read.filter(|_| !row_is_full).or(re_read).or_else(|| self.captures.front().map(|_| Priority::Capture))
    }

    fn next(&mut self, now: Instant) -> Option<Ticket> {
        match self.next_need()? {
            Priority::FirstRead => {
                let first = self.first_reads.iter().position(|ticket| ticket.is_ready)?;
                self.first_reads_in_a_row += 1;
                self.first_reads.remove(first)
            }
            Priority::ReRead(_) => {
                self.first_reads_in_a_row = 0;
                let urgency = |index: &usize| self.re_reads[*index].1.at(now);
                let most_urgent = (0..self.re_reads.len()).max_by(|a, b| urgency(a).total_cmp(&urgency(b)))?;
                Some(self.re_reads.swap_remove(most_urgent).0)
            }
            Priority::Capture => {
                self.first_reads_in_a_row = 0;
                self.captures.pop_front()
            }
        }
    }

    pub fn refill(&mut self, now: Instant, full_rate: f64) {
        let earned = self.tokens + (now - self.filled).as_secs_f64() * self.rate;
        let recovered = full_rate * (now - self.filled).as_secs_f64() / RECOVERY.as_secs_f64();
        self.rate = (self.rate + recovered).min(full_rate);
        // Under the burst of the new rate: under the old one's a capture would chase a price that
        // it never reaches.
        self.tokens = earned.min(burst(self.rate));
        self.filled = now;
    }

    fn tokens_at(&self, now: Instant) -> f64 {
        (self.tokens + (now - self.filled).as_secs_f64() * self.rate).min(burst(self.rate))
    }
}

pub fn burst(rate: f64) -> f64 {
    (rate * BURST_SECONDS).max(1.0)
}
