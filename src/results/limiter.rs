//! The rate limiter: grants a permit for every HTTP attempt to AWS.
//!
//! The first reads of sessions are granted in turn by client ([`fair_queue`]), and at once while
//! the quota of the last second is not used up. A client that has had its turn leaves half of that
//! quota to the others. While re-reads wait too, they get one permit of four, by [`Priority`], and
//! more if AWS does not know the ids of the first reads. Otherwise re-reads are paced evenly. A
//! capture, which has no subscribers, gets a permit only if no other read waits and half of the
//! quota is unused; so does an id that AWS did not know, which also gets one permit of ten while
//! others wait.
//!
//! When AWS throttles, because other services use the account too, the rate falls by a fifth, and
//! recovers steadily (additive increase, multiplicative decrease, as in TCP).
//!
//! If replicas share a Redis, each permit is reserved in the [`SharedQuota`]. Otherwise, and while
//! Redis is unavailable, permits come from this replica's own share of the quota.

mod estimate;
mod fair_queue;
mod permits;
mod queues;
mod shared_quota;
mod window;

pub use permits::Permit;
pub use shared_quota::SharedQuota;

use super::priority::Priority;
use crate::client::ClientKey;
use fair_queue::Grant;
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
        self.enqueue(|queues, grant| queues.enqueue(priority, grant))
    }

    /// Queues a first read for these clients. If it is not ready, it gets no permit before
    /// [`Queued::ready`].
    pub fn queue_first_read(self: &Arc<Self>, clients: &[ClientKey], is_ready: bool) -> Queued {
        self.enqueue(|queues, grant| queues.enqueue_first_read(clients, grant, is_ready))
    }

    fn enqueue(self: &Arc<Self>, enqueue: impl FnOnce(&mut Queues, oneshot::Sender<Grant>) -> u64) -> Queued {
        let (grant, granted) = oneshot::channel();
        let number = enqueue(&mut self.lock(), grant);
        self.arrived.notify_one();
        Queued { limiter: Arc::clone(self), number, since: Instant::now(), granted }
    }

    /// Adds a client that waits for the first read with this number, if that is in the queue.
    pub fn join(&self, number: u64, client: &ClientKey) {
        self.lock().first_reads.join(number, client);
        self.arrived.notify_one();
    }

    /// Removes a client that no longer waits for the first read with this number.
    pub fn leave(&self, number: u64, client: &ClientKey) {
        self.lock().first_reads.leave(number, client);
    }

    /// Rejects the last first read of the client with the longest queue, so that this client can
    /// queue another one. Returns whether it did.
    pub fn displace(&self, client: &ClientKey) -> bool {
        self.lock().displace(client)
    }

    /// Records whether AWS knew the id of a first read.
    pub fn record_read(&self, permit: &Permit, is_known: bool) {
        if let Some(client) = &permit.client {
            self.lock().first_reads.record_read(client, is_known);
        }
    }

    /// Returns how long a first read that this client queues now waits for its permit.
    pub fn first_read_delay(&self, client: &ClientKey) -> Duration {
        self.lock().first_read_delay(client)
    }

    /// Returns how long the first read with this number still waits if this client waits for it
    /// too. None if it is not in the queue.
    pub fn delay_of(&self, number: u64, client: &ClientKey) -> Option<Duration> {
        self.lock().delay_of(number, client)
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
        let (priority, is_beyond_share, fraction) = {
            let mut queues = self.lock();
            let priority = queues.next_priority()?;
            if let Some(delay) = queues.reservation_delay(priority) {
                return Some(delay);
            }
            (priority, priority == Priority::FirstRead && queues.is_beyond_share(), queues.own.rate_fraction())
        };
        match quota.reserve(priority, is_beyond_share, fraction).await {
            Reservation::Granted(at) => {
                let is_extra_allowed = priority != Priority::FirstRead || is_beyond_share;
                self.use_reservation(at, quota, priority, is_extra_allowed, fraction).await;
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

    /// Grants the permit that was reserved, at `at`. If `is_extra_allowed`, a first read that is
    /// queued meanwhile gets its own reservation, so that it does not wait behind a re-read or a
    /// client beyond its share.
    async fn use_reservation(
        &self,
        at: Instant,
        quota: &SharedQuota,
        priority: Priority,
        mut is_extra_allowed: bool,
        fraction: f64,
    ) {
        self.lock().reserved(at, quota.limit());
        let mut reserved = vec![(at, priority)];
        while let Some(next) = (0..reserved.len()).min_by_key(|index| reserved[*index].0) {
            if is_extra_allowed && reserved.len() == 1 && self.lock().first_read_can_be_reserved() {
                match quota.reserve(Priority::FirstRead, false, fraction).await {
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
    granted: oneshot::Receiver<Grant>,
}

impl Queued {
    /// Allows the grant from now on.
    pub fn ready(&self) {
        self.limiter.lock().first_reads.make_ready(self.number);
        self.limiter.arrived.notify_one();
    }

    /// Waits for the permit. Cancel safe.
    ///
    /// # Errors
    /// The delay of its queue: the queue is full, and another client displaced this read.
    pub async fn granted(&mut self) -> Grant {
        (&mut self.granted).await.expect("a ticket leaves the queue only with a grant, or when this is dropped")
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut queues = self.limiter.lock();
        self.granted.close();
        match self.granted.try_recv() {
            Ok(Ok(permit)) => {
                queues.own.give_back(&permit);
                self.limiter.arrived.notify_one();
            }
            Ok(Err(_)) | Err(_) => queues.leave(self.number),
        }
    }
}

#[cfg(test)]
mod tests;
