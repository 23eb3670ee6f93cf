//! The rate limiter: grants a permit for every HTTP attempt to AWS.
//!
//! The first reads of sessions are granted first in, first out, and at once while the quota of the
//! last second is not used up. While re-reads wait too, they get one permit of four, by
//! [`Priority`]. Otherwise re-reads are paced evenly. A capture, which has no subscribers, gets a
//! permit only if no other read waits and half of the quota is unused; so does an id that AWS did
//! not know, which also gets one permit of ten while others wait.
//!
//! When AWS throttles, because other services use the account too, the rate falls by a fifth, and
//! recovers steadily (additive increase, multiplicative decrease, as in TCP).
//!
//! If replicas share a Redis, each permit is reserved in the [`SharedQuota`]. Otherwise, and while
//! Redis is unavailable, permits come from this replica's own share of the quota.

mod estimate;
mod permits;
mod queues;
mod shared_quota;
mod window;

pub use permits::Permit;
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
use window::Limit;

pub struct Limiter {
    queues: Mutex<Queues>,
    /// Wakes [`Limiter::run`] when a ticket can be granted.
    arrived: Notify,
    quota: Option<SharedQuota>,
}

impl Limiter {
    /// `rate` is the quota of all replicas: reads per second, above 0. Each has an equal share.
    pub fn new(rate: f64, replicas: u32, quota: Option<SharedQuota>) -> Self {
        let share = 1.0 / f64::from(replicas);
        let queues = Queues::new(rate * share, Limit::new(rate * share, share));
        Self { queues: Mutex::new(queues), arrived: Notify::new(), quota }
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

    /// Returns how long the first read with this number still waits. None if it is not in the
    /// queue.
    pub fn delay_of(&self, number: u64) -> Option<Duration> {
        self.lock().delay_of(number)
    }

    /// Returns the permits per second now; of all replicas together while they share the quota.
    pub fn rate(&self) -> f64 {
        let mut queues = self.lock();
        let fraction = queues.own.rate_fraction();
        match &self.quota {
            Some(quota) if queues.is_shared() => quota.rate() * fraction,
            _ => queues.own.rate,
        }
    }

    /// Returns the lengths of the queues: first reads, re-reads, captures, unknown ids.
    pub fn waiting(&self) -> [usize; 4] {
        self.lock().lengths()
    }

    /// Slows down after AWS throttled an attempt. Of several attempts at the same time, only the
    /// first counts.
    pub fn throttled(&self, permit: &Permit) {
        if self.lock().own.throttled(permit) {
            let rate = self.rounded_rate();
            tracing::warn!(rate, "AWS throttles reads; the rate falls, and recovers when AWS no longer throttles");
            self.arrived.notify_one();
        }
    }

    fn rounded_rate(&self) -> f64 {
        (self.rate() * 100.0).round() / 100.0
    }

    /// Logs when AWS no longer throttles. Returns the time until then.
    fn log_recovery(&self) -> Option<Duration> {
        let left = self.lock().own.throttling_left()?;
        if left.is_zero() {
            tracing::info!(rate = self.rounded_rate(), "AWS no longer throttles reads");
        }
        (!left.is_zero()).then_some(left)
    }

    /// Gives an unused permit to the next read.
    pub fn pass_on(&self, permit: &Permit) {
        self.lock().pass_on(permit);
        self.arrived.notify_one();
    }

    /// Grants permits. Never completes.
    pub async fn run(&self) {
        loop {
            let wait = match &self.quota {
                Some(quota) => self.grant_from(quota).await,
                None => self.lock().grant_own(),
            };
            match wait.into_iter().chain(self.log_recovery()).min() {
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
            let priority = queues.next_priority()?;
            if let Some(delay) = queues.reservation_delay(priority) {
                return Some(delay);
            }
            (priority, queues.own.rate_fraction())
        };
        match quota.reserve(priority, fraction).await {
            Reservation::Granted(at) => {
                self.use_reservation(at, quota, priority, fraction).await;
                Some(Duration::ZERO)
            }
            Reservation::Denied(delay) if priority == Priority::NotFound => {
                let others_wait = self.lock().defer_not_found(delay);
                Some(if others_wait { Duration::ZERO } else { delay })
            }
            Reservation::Denied(delay) => Some(delay),
            Reservation::Unavailable => {
                let mut queues = self.lock();
                queues.use_own_share();
                queues.grant_own()
            }
        }
    }

    /// Grants the permit that was reserved, at `at`. A first read that is queued meanwhile gets its
    /// own reservation, so that it does not wait behind a re-read.
    async fn use_reservation(&self, at: Instant, quota: &SharedQuota, priority: Priority, fraction: f64) {
        self.lock().reserved(at, quota.limit());
        let mut reserved = vec![(at, priority)];
        let mut is_extra_allowed = priority != Priority::FirstRead;
        while let Some(next) = (0..reserved.len()).min_by_key(|index| reserved[*index].0) {
            if is_extra_allowed && reserved.len() == 1 && self.lock().first_read_can_be_reserved() {
                match quota.reserve(Priority::FirstRead, fraction).await {
                    Reservation::Granted(at) => {
                        self.lock().reserved(at, quota.limit());
                        reserved.push((at, Priority::FirstRead));
                    }
                    _ => is_extra_allowed = false,
                }
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep_until(reserved[next].0) => {
                    self.lock().grant_reserved(reserved.remove(next).1);
                }
                () = self.arrived.notified(), if is_extra_allowed && reserved.len() == 1 => {}
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
    pub number: u64,
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
            Ok(permit) => {
                queues.own.give_back(&permit);
                self.limiter.arrived.notify_one();
            }
            Err(_) => queues.leave(self.number),
        }
    }
}

#[cfg(test)]
mod tests;
