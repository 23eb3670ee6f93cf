//! The rate limiter: every HTTP attempt to AWS takes one token, and this decides whose turn it is.
//!
//! First reads of a session go first in, first out. While both wait, three tokens of four go to
//! them and the fourth to a re-read, so that neither starves the other. Re-reads go by [`ReReadPriority`].
//! A capture, for which nobody waits, gets a token only when nobody else wants one and the burst is
//! whole.
//!
//! When AWS throttles all the same, because others use the account, the rate falls by a fifth for
//! everybody, and grows back steadily to the full one (additive increase, multiplicative decrease,
//! as TCP does it).
//!
//! Where replicas share a store, tokens come from the [`Account`]: one slot at a time, spent in the
//! order above. Without it, or when it does not answer, they come from this replica's own share of
//! the quota.

mod account;
mod queues;

pub use account::Account;

use super::priority::Priority;
use account::Slot;
use queues::Queues;
use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

/// The right to one HTTP attempt.
#[derive(Debug)]
pub struct Permit {
    granted: Instant,
}

pub struct Limiter {
    queues: Mutex<Queues>,
    /// Tells [`Limiter::run`] that somebody new waits.
    arrived: Notify,
    /// Tokens a second when AWS throttles nobody: this replica's share.
    full_rate: f64,
    /// The quota of all replicas together.
    account: Option<Account>,
}

impl Limiter {
    /// A limiter of `rate` tokens a second, above 0, where the account has none to give.
    pub fn new(rate: f64, account: Option<Account>) -> Self {
        Self { queues: Mutex::new(Queues::new(rate)), arrived: Notify::new(), full_rate: rate, account }
    }

    /// Takes a place in the queue at once. Whoever drops it leaves the queue, and a token that was
    /// on its way to it is saved.
    pub fn queue(self: &Arc<Self>, need: Priority) -> Queued {
        self.enqueue(need, true)
    }

    /// The place of a first read, which may have to wait until it is [`Queued::ready`] to take its
    /// token.
    pub fn queue_first_read(self: &Arc<Self>, is_ready: bool) -> Queued {
        self.enqueue(Priority::FirstRead, is_ready)
    }

    fn enqueue(self: &Arc<Self>, need: Priority, is_ready: bool) -> Queued {
        let (grant, granted) = oneshot::channel();
        let number = self.lock().enqueue(need, grant, is_ready);
        self.arrived.notify_one();
        Queued { limiter: Arc::clone(self), number, since: Instant::now(), granted }
    }

    /// How long a first read that came now would wait for its token at most, were no other to come.
    /// Those ahead of it are re-read soon after, and have their share then.
    pub fn first_read_delay(&self) -> Duration {
        self.lock().first_read_delay(Instant::now())
    }

    /// Tokens a second now; those of all replicas while they share them.
    pub fn rate(&self) -> f64 {
        let mut queues = self.lock();
        queues.refill(Instant::now(), self.full_rate);
        match &self.account {
            Some(account) if queues.slots.is_some() => account.rate() * queues.rate / self.full_rate,
            _ => queues.rate,
        }
    }

    /// How many wait: for first reads, re-reads, captures.
    pub fn waiting(&self) -> [usize; 3] {
        self.lock().waiting()
    }

    /// AWS has throttled the attempt. Only the first of those that were on their way together
    /// counts.
    pub fn throttled(&self, permit: &Permit) {
        self.lock().throttled(permit, Instant::now(), self.full_rate);
    }

    /// Gives a token that its holder has no use for to the next.
    pub fn pass_on(&self, _: Permit) {
        self.lock().pass_on(Instant::now());
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

    /// Hands out a slot of the account's, or this replica's own tokens when none is to be had.
    /// Answers how long there is nothing to do.
    async fn spend_slot(&self, account: &Account) -> Option<Duration> {
        let (need, share) = {
            let mut queues = self.lock();
            queues.refill(Instant::now(), self.full_rate);
            (queues.next_need()?, queues.rate / self.full_rate)
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

    /// Waits for a slot. A first read that comes meanwhile need not stand behind the re-read that
    /// it was reserved for: it gets one too.
    async fn wait_for(&self, at: Instant, account: &Account, need: Priority, share: f64) {
        let slot = tokio::time::sleep_until(at);
        let mut slot = std::pin::pin!(slot);
        loop {
            tokio::select! {
                () = &mut slot => return,
                () = self.arrived.notified() => {}
            }
            let first_read_came =
                || need != Priority::FirstRead && self.lock().next_need() == Some(Priority::FirstRead);
            while first_read_came()
                && let Some(Slot::Reserved(earlier)) = account.reserve(Priority::FirstRead, share).await
            {
                tokio::time::sleep_until(earlier).await;
                self.lock().grant_slot(Instant::now());
            }
        }
    }

    fn grant_all(&self) -> Option<Duration> {
        self.lock().grant_all(Instant::now(), self.full_rate)
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().expect("nothing panics under this lock")
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
        self.limiter.lock().make_ready(self.number);
        self.limiter.arrived.notify_one();
    }

    /// Waits for the permit. Cancel safe.
    pub async fn granted(&mut self) -> Permit {
        (&mut self.granted).await.expect("the limiter grants before it drops a ticket")
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut queues = self.limiter.lock();
        self.granted.close();
        match self.granted.try_recv() {
            Ok(_) => {
                queues.tokens += 1.0;
                self.limiter.arrived.notify_one();
            }
            Err(_) => queues.leave(self.number),
        }
    }
}

#[cfg(test)]
mod tests;
