//! The rate limiter: every HTTP attempt to AWS takes one token, and this decides whose turn it is.
//!
//! First reads of a session go first in, first out. While both wait, three tokens of four go to them and the fourth to a re-read,
//! so that neither starves the other. Re-reads go by [`Urgency`]. A capture, for which nobody waits, gets a token only when nobody
//! else wants one and the burst is whole.
//!
//! When AWS throttles all the same, because others use the account, the rate falls by a fifth for everybody, and grows back steadily to
//! the full one (additive increase, multiplicative decrease, as TCP does it).

use super::urgency::Urgency;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

/// Tokens that an idle limiter saves: half a second of them. AWS does not say how it counts; a bucket of one second is what it does
/// elsewhere, and half of that leaves room for requests that arrive closer together than they were sent.
const BURST_SECONDS: f64 = 0.5;

/// While re-reads wait, first reads get so many tokens in a row.
const FIRST_READS_IN_A_ROW: usize = 3;

/// What is left of the rate after AWS has throttled.
const DECREASE: f64 = 0.8;

/// The rate comes back from nothing in this time: slowly enough that AWS is not throttling all the time, and soon enough after a neighbour's
/// burst.
const RECOVERY: Duration = Duration::from_secs(30);

/// The rate never falls below this share of the full one: somebody has to find out that AWS answers again.
const FLOOR: f64 = 0.02;

/// What a token is wanted for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Need {
    /// A session that was never read.
    FirstRead,
    /// A session that somebody waits for.
    ReRead(Urgency),
    /// A session that nobody waits for.
    Capture,
}

/// The right to one HTTP attempt.
#[derive(Debug)]
pub struct Permit {
    granted: Instant,
}

pub struct Limiter {
    state: Mutex<State>,
    /// Tells [`Limiter::run`] that somebody new waits.
    arrived: Notify,
    /// Tokens a second when AWS throttles nobody.
    full_rate: f64,
}

struct State {
    tokens: f64,
    filled: Instant,
    rate: f64,
    last_decrease: Instant,
    first_reads: VecDeque<Ticket>,
    re_reads: Vec<(Ticket, Urgency)>,
    captures: VecDeque<Ticket>,
    first_reads_in_a_row: usize,
    next_ticket: u64,
}

struct Ticket {
    number: u64,
    grant: oneshot::Sender<Permit>,
}

impl Limiter {
    /// A limiter of `rate` tokens a second; above 0.
    pub fn new(rate: f64) -> Self {
        let now = Instant::now();
        let state = State {
            tokens: burst(rate),
            filled: now,
            rate,
            last_decrease: now,
            first_reads: VecDeque::new(),
            re_reads: Vec::new(),
            captures: VecDeque::new(),
            first_reads_in_a_row: 0,
            next_ticket: 0,
        };
        Self { state: Mutex::new(state), arrived: Notify::new(), full_rate: rate }
    }

    /// Takes a place in the queue at once. Whoever drops it leaves the queue, and a token that was on its way to it is saved.
    pub fn queue(self: &Arc<Self>, need: Need) -> Queued {
        let (grant, granted) = oneshot::channel();
        let number = self.lock().enqueue(need, grant);
        self.arrived.notify_one();
        Queued { limiter: Arc::clone(self), number, since: Instant::now(), granted }
    }

    /// How long a first read that came now would wait for its token at most, were no other to come. Those ahead of it are re-read
    /// soon after, and have their share then.
    pub fn first_read_delay(&self) -> Duration {
        let state = self.lock();
        let ahead = state.first_reads.len();
        let in_a_row = if state.re_reads.is_empty() { 0 } else { state.first_reads_in_a_row.min(FIRST_READS_IN_A_ROW) };
        let re_reads = (ahead + in_a_row) / FIRST_READS_IN_A_ROW;
        let tokens = (ahead + re_reads + 1) as f64 - state.tokens_at(Instant::now());
        Duration::from_secs_f64((tokens / state.rate).max(0.0))
    }

    /// Tokens a second now.
    pub fn rate(&self) -> f64 {
        let mut state = self.lock();
        state.refill(Instant::now(), self.full_rate);
        state.rate
    }

    /// How many wait: for first reads, re-reads, captures.
    pub fn waiting(&self) -> [usize; 3] {
        let state = self.lock();
        [state.first_reads.len(), state.re_reads.len(), state.captures.len()]
    }

    /// AWS has throttled the attempt. Only the first of those that were on their way together counts.
    pub fn throttled(&self, permit: &Permit) {
        let mut state = self.lock();
        let now = Instant::now();
        state.refill(now, self.full_rate);
        if permit.granted >= state.last_decrease {
            state.rate = (state.rate * DECREASE).max(self.full_rate * FLOOR);
            state.tokens = state.tokens.min(0.0);
            state.last_decrease = now;
        }
    }

    /// Hands out the tokens, for as long as it is polled.
    pub async fn run(&self) {
        loop {
            let next = self.lock().grant_all(Instant::now(), self.full_rate);
            match next {
                Some(wait) => tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.arrived.notified() => {}
                },
                None => self.arrived.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

/// A place in the queue.
pub struct Queued {
    limiter: Arc<Limiter>,
    number: u64,
    /// When the place was taken.
    pub since: Instant,
    granted: oneshot::Receiver<Permit>,
}

impl Queued {
    /// Waits for the token.
    pub async fn granted(mut self) -> Permit {
        (&mut self.granted).await.expect("the limiter grants before it drops a ticket")
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut state = self.limiter.lock();
        self.granted.close();
        match self.granted.try_recv() {
            Ok(_) => {
                state.tokens += 1.0;
                self.limiter.arrived.notify_one();
            }
            Err(_) => state.leave(self.number),
        }
    }
}

impl State {
    fn enqueue(&mut self, need: Need, grant: oneshot::Sender<Permit>) -> u64 {
        let number = self.next_ticket;
        self.next_ticket += 1;
        let ticket = Ticket { number, grant };
        match need {
            Need::FirstRead => self.first_reads.push_back(ticket),
            Need::ReRead(urgency) => self.re_reads.push((ticket, urgency)),
            Need::Capture => self.captures.push_back(ticket),
        }
        number
    }

    fn leave(&mut self, number: u64) {
        self.first_reads.retain(|ticket| ticket.number != number);
        self.re_reads.retain(|(ticket, _)| ticket.number != number);
        self.captures.retain(|ticket| ticket.number != number);
    }

    /// Serves the queues with the tokens there are. Answers how long it takes until the next token for somebody who waits.
    fn grant_all(&mut self, now: Instant, full_rate: f64) -> Option<Duration> {
        self.refill(now, full_rate);
        loop {
            let price = match (self.first_reads.is_empty() && self.re_reads.is_empty(), self.captures.is_empty()) {
                (false, _) => 1.0,
                (true, false) => burst(self.rate),
                (true, true) => return None,
            };
            // A clock that is a nanosecond short must not cost another turn.
            if self.tokens + 1e-6 < price {
                return Some(Duration::from_secs_f64((price - self.tokens) / self.rate));
            }
            let ticket = self.next(now);
            // Whoever has just left takes no token.
            if ticket.grant.send(Permit { granted: now }).is_ok() {
                self.tokens -= 1.0;
            }
        }
    }

    fn next(&mut self, now: Instant) -> Ticket {
        let row_is_full = self.first_reads_in_a_row >= FIRST_READS_IN_A_ROW && !self.re_reads.is_empty();
        if !row_is_full && let Some(ticket) = self.first_reads.pop_front() {
            self.first_reads_in_a_row += 1;
            return ticket;
        }
        self.first_reads_in_a_row = 0;
        let urgency = |index: &usize| self.re_reads[*index].1.at(now);
        let most_urgent = (0..self.re_reads.len()).max_by(|a, b| urgency(a).total_cmp(&urgency(b)));
        match most_urgent {
            Some(index) => self.re_reads.swap_remove(index).0,
            None => self.captures.pop_front().expect("somebody waits"),
        }
    }

    fn refill(&mut self, now: Instant, full_rate: f64) {
        let earned = self.tokens + (now - self.filled).as_secs_f64() * self.rate;
        let recovered = full_rate * (now - self.filled).as_secs_f64() / RECOVERY.as_secs_f64();
        self.rate = (self.rate + recovered).min(full_rate);
        // Under the burst of the new rate: under the old one's a capture would chase a price that it never reaches.
        self.tokens = earned.min(burst(self.rate));
        self.filled = now;
    }

    fn tokens_at(&self, now: Instant) -> f64 {
        (self.tokens + (now - self.filled).as_secs_f64() * self.rate).min(burst(self.rate))
    }
}

fn burst(rate: f64) -> f64 {
    (rate * BURST_SECONDS).max(1.0)
}

#[cfg(test)]
mod tests;
