//! The rate limiter: grants a permit for every HTTP attempt to AWS.
//!
//! The first reads of sessions are granted first in, first out. While re-reads wait too, they get
//! one permit of four, by [`Priority`]. A capture, which has no subscribers, gets a permit only if
//! no other read waits and the bucket is full.
//!
//! When AWS throttles, because other services use the account too, the rate falls by a fifth, and
//! recovers steadily (additive increase, multiplicative decrease, as in TCP).
//!
//! If replicas share a Redis, each permit is reserved in the [`SharedQuota`]. Otherwise, and while
//! Redis is unavailable, permits come from this replica's own share of the quota.

mod estimate;
mod queues;
mod shared_quota;

pub use queues::Permit;
pub use shared_quota::SharedQuota;

use super::priority::Priority;
use queues::Queues;
use shared_quota::Reservation;
use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

pub struct Limiter {
    queues: Mutex<Queues>,
    /// Wakes [`Limiter::run`] when a ticket can be granted.
    arrived: Notify,
    quota: Option<SharedQuota>,
}

impl Limiter {
    /// `rate` is this replica's own share: permits per second, above 0.
    pub fn new(rate: f64, quota: Option<SharedQuota>) -> Self {
        Self { queues: Mutex::new(Queues::new(rate)), arrived: Notify::new(), quota }
    }

    /// Queues a read. Dropping the returned value leaves the queue and gives an unused permit back.
    pub fn queue(self: &Arc<Self>, priority: Priority) -> Queued {
        self.enqueue(priority, true)
    }

    /// Queues a first read. If it is not ready, it gets no permit before [`Queued::ready`].
    pub fn queue_first_read(self: &Arc<Self>, is_ready: bool) -> Queued {
        self.enqueue(Priority::FirstRead, is_ready)
    }

    fn enqueue(self: &Arc<Self>, priority: Priority, is_ready: bool) -> Queued {
        let (grant, granted) = oneshot::channel();
        let number = self.lock().enqueue(priority, grant, is_ready);
        self.arrived.notify_one();
        Queued { limiter: Arc::clone(self), number, since: Instant::now(), granted }
    }

    /// Returns how long a first read that is queued now waits for its permit.
    pub fn first_read_delay(&self) -> Duration {
        self.lock().first_read_delay()
    }

    /// Returns the permits per second now; of all replicas together while they share the quota.
    pub fn rate(&self) -> f64 {
        let mut queues = self.lock();
        let fraction = queues.rate_fraction();
        match &self.quota {
            Some(quota) if queues.reservations.is_some() => quota.rate() * fraction,
            _ => queues.rate,
        }
    }

    /// Returns the lengths of the queues: first reads, re-reads, captures.
    pub fn waiting(&self) -> [usize; 3] {
        self.lock().lengths()
    }

    /// Slows down after AWS throttled an attempt. Of several attempts at the same time, only the
    /// first counts.
    pub fn throttled(&self, permit: &Permit) {
        self.lock().throttled(permit);
    }

    /// Gives an unused permit to the next read.
    pub fn pass_on(&self, _: Permit) {
        self.lock().regrant();
    }

    /// Grants permits. Never completes.
    pub async fn run(&self) {
        loop {
            let wait = match &self.quota {
                Some(quota) => self.grant_from(quota).await,
                None => self.lock().grant_own(),
            };
            match wait {
                Some(wait) => drop(tokio::time::timeout(wait, self.arrived.notified()).await),
                None => self.arrived.notified().await,
            }
        }
    }

    /// Grants one permit of the shared quota, or this replica's own permits if Redis is
    /// unavailable. Returns the time until the next grant if a ticket waits.
    async fn grant_from(&self, quota: &SharedQuota) -> Option<Duration> {
        let (priority, fraction) = {
            let mut queues = self.lock();
            (queues.next_priority()?, queues.rate_fraction())
        };
        match quota.reserve(priority, fraction).await {
            Reservation::Granted(at) => {
                self.lock().reservations.get_or_insert_default().record(at, quota.interval(fraction));
                self.wait_for_reservation(at, quota, priority, fraction).await;
                self.lock().grant_reserved();
                Some(Duration::ZERO)
            }
            Reservation::Denied(retry_delay) => Some(retry_delay),
            Reservation::Unavailable => {
                let mut queues = self.lock();
                queues.reservations = None;
                queues.grant_own()
            }
        }
    }

    /// Waits until `at`. A first read that is queued meanwhile gets its own reservation, so that it
    /// does not wait behind a re-read.
    async fn wait_for_reservation(&self, at: Instant, quota: &SharedQuota, priority: Priority, fraction: f64) {
        let mut sleep = std::pin::pin!(tokio::time::sleep_until(at));
        let first_read_waits =
            || priority != Priority::FirstRead && self.lock().next_priority() == Some(Priority::FirstRead);
        loop {
            tokio::select! {
                () = &mut sleep => return,
                () = self.arrived.notified() => {}
            }
            while first_read_waits()
                && let Reservation::Granted(earlier) = quota.reserve(Priority::FirstRead, fraction).await
            {
                tokio::time::sleep_until(earlier).await;
                self.lock().grant_reserved();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().expect("no code panics under this lock")
    }
}

/// A queued read. Leaves the queue when it is dropped.
pub struct Queued {
    limiter: Arc<Limiter>,
    number: u64,
    /// When it was queued.
    pub since: Instant,
    granted: oneshot::Receiver<Permit>,
}

impl Queued {
    /// Allows the grant from now on.
    pub fn ready(&self) {
        self.limiter.lock().make_ready(self.number);
        self.limiter.arrived.notify_one();
    }

    /// Waits for the permit. Cancel safe.
    pub async fn granted(&mut self) -> Permit {
        (&mut self.granted).await.expect("a ticket leaves the queue only with a permit, or when this is dropped")
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut queues = self.limiter.lock();
        self.granted.close();
        match self.granted.try_recv() {
            Ok(_) => {
                queues.permits += 1.0;
                self.limiter.arrived.notify_one();
            }
            Err(_) => queues.leave(self.number),
        }
    }
}

#[cfg(test)]
mod tests;
