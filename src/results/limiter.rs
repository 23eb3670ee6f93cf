//! The rate limiter: every HTTP attempt to AWS takes one token, and this decides whose turn it is.
//!
//! First reads of a session go first in, first out. While both wait, three tokens of four go to them and the fourth to a re-read,
//! so that neither starves the other. Re-reads go by [`Urgency`]. A capture, for which nobody waits, gets a token only when nobody
//! else wants one and the burst is whole.
//!
//! When AWS throttles all the same, because others use the account, the rate falls by a fifth for everybody, and grows back steadily to
//! the full one (additive increase, multiplicative decrease, as TCP does it).
//!
//! Where replicas share a store, tokens come from the [`Account`]: one slot at a time, spent in the order above. Without it, or when it
//! does not answer, they come from this replica's own share of the quota.

mod account;

pub use account::Account;

use super::urgency::Urgency;
use account::{Slot, Slots};
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
    /// Tokens a second when AWS throttles nobody: this replica's share.
    full_rate: f64,
    /// The quota of all replicas together.
    account: Option<Account>,
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
    /// How the account's slots come, when they do.
    slots: Option<Slots>,
}

struct Ticket {
    number: u64,
    grant: oneshot::Sender<Permit>,
    /// Whether its holder may read. Until then it only keeps its place.
    is_ready: bool,
}

impl Limiter {
    /// A limiter of `rate` tokens a second, above 0, where the account has none to give.
    pub fn new(rate: f64, account: Option<Account>) -> Self {
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
            slots: None,
        };
        Self { state: Mutex::new(state), arrived: Notify::new(), full_rate: rate, account }
    }

    /// Takes a place in the queue at once. Whoever drops it leaves the queue, and a token that was on its way to it is saved.
    pub fn queue(self: &Arc<Self>, need: Need) -> Queued {
        self.enqueue(need, true)
    }

    /// The place of a first read, which may have to wait until it is [`Queued::ready`] to take its token.
    pub fn queue_first_read(self: &Arc<Self>, is_ready: bool) -> Queued {
        self.enqueue(Need::FirstRead, is_ready)
    }

    fn enqueue(self: &Arc<Self>, need: Need, is_ready: bool) -> Queued {
        let (grant, granted) = oneshot::channel();
        let number = self.lock().enqueue(need, grant, is_ready);
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
        let now = Instant::now();
        if let Some(slots) = &state.slots {
            return slots.delay(now, ahead + re_reads);
        }
        let tokens = (ahead + re_reads + 1) as f64 - state.tokens_at(now);
        Duration::from_secs_f64((tokens / state.rate).max(0.0))
    }

    /// Tokens a second now; those of all replicas while they share them.
    pub fn rate(&self) -> f64 {
        let mut state = self.lock();
        state.refill(Instant::now(), self.full_rate);
        match &self.account {
            Some(account) if state.slots.is_some() => account.rate() * state.rate / self.full_rate,
            _ => state.rate,
        }
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
            let pause = match &self.account {
                Some(account) => self.spend_slot(account).await,
                None => self.grant_all(),
            };
            match pause {
                Some(wait) => tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.arrived.notified() => {}
                },
                None => self.arrived.notified().await,
            }
        }
    }

    /// Hands out a slot of the account's, or this replica's own tokens when none is to be had. Answers how long there is nothing to do.
    async fn spend_slot(&self, account: &Account) -> Option<Duration> {
        let (need, share) = {
            let mut state = self.lock();
            state.refill(Instant::now(), self.full_rate);
            (state.next_need()?, state.rate / self.full_rate)
        };
        match account.reserve(need, share).await {
            Some(Slot::Reserved(at)) => {
                self.lock().slots.get_or_insert_default().expect(at, account.interval(share));
                self.wait_for(at, account, need, share).await;
                self.lock().grant_slot(Instant::now());
                Some(Duration::ZERO)
            }
            Some(Slot::Later(wait)) => Some(wait),
            None => {
                self.lock().slots = None;
                self.grant_all()
            }
        }
    }

    /// Waits for a slot. A first read that comes meanwhile need not stand behind the re-read that it was reserved for: it gets one too.
    async fn wait_for(&self, at: Instant, account: &Account, need: Need, share: f64) {
        let slot = tokio::time::sleep_until(at);
        let mut slot = std::pin::pin!(slot);
        loop {
            tokio::select! {
                () = &mut slot => return,
                () = self.arrived.notified() => {}
            }
            let first_read_came = || need != Need::FirstRead && self.lock().next_need() == Some(Need::FirstRead);
            while first_read_came()
                && let Some(Slot::Reserved(earlier)) = account.reserve(Need::FirstRead, share).await
            {
                tokio::time::sleep_until(earlier).await;
                self.lock().grant_slot(Instant::now());
            }
        }
    }

    fn grant_all(&self) -> Option<Duration> {
        self.lock().grant_all(Instant::now(), self.full_rate)
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
    /// Says that the token can be used from now on.
    pub fn ready(&self) {
        let mut state = self.limiter.lock();
        if let Some(ticket) = state.first_reads.iter_mut().find(|ticket| ticket.number == self.number) {
            ticket.is_ready = true;
        }
        self.limiter.arrived.notify_one();
    }

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
    fn enqueue(&mut self, need: Need, grant: oneshot::Sender<Permit>, is_ready: bool) -> u64 {
        let number = self.next_ticket;
        self.next_ticket += 1;
        let ticket = Ticket { number, grant, is_ready };
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
            let price = match self.next_need()? {
                Need::FirstRead | Need::ReRead(_) => 1.0,
                Need::Capture => burst(self.rate),
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

    /// The same with a slot of the account's. This replica's own tokens stand by for when the account has none, and are not saved up meanwhile.
    fn grant_slot(&mut self, now: Instant) {
        self.grant_next(now);
        self.tokens = self.tokens.max(0.0);
    }

    /// What the next token is for.
    fn next_need(&self) -> Option<Need> {
        let re_read = self.re_reads.first().map(|(_, urgency)| Need::ReRead(*urgency));
        let row_is_full = self.first_reads_in_a_row >= FIRST_READS_IN_A_ROW && re_read.is_some();
        let first_read = self.first_reads.iter().any(|ticket| ticket.is_ready).then_some(Need::FirstRead);
        first_read.filter(|_| !row_is_full).or(re_read).or_else(|| self.captures.front().map(|_| Need::Capture))
    }

    fn next(&mut self, now: Instant) -> Option<Ticket> {
        match self.next_need()? {
            Need::FirstRead => {
                let first = self.first_reads.iter().position(|ticket| ticket.is_ready)?;
                self.first_reads_in_a_row += 1;
                self.first_reads.remove(first)
            }
            Need::ReRead(_) => {
                self.first_reads_in_a_row = 0;
                let urgency = |index: &usize| self.re_reads[*index].1.at(now);
                let most_urgent = (0..self.re_reads.len()).max_by(|a, b| urgency(a).total_cmp(&urgency(b)))?;
                Some(self.re_reads.swap_remove(most_urgent).0)
            }
            Need::Capture => {
                self.first_reads_in_a_row = 0;
                self.captures.pop_front()
            }
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
