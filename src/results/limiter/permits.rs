//! This replica's own permits: a token bucket with a rate that adapts to throttling, and a window
//! that bounds the reads of a second.

use super::window::{JITTER, Limit, Window};
use crate::client::ClientKey;
use std::time::Duration;
use tokio::time::Instant;

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
    /// When it was due, up to [`super::window::LATENESS`] before.
    due: Instant,
    /// The client on whose account it is; None unless it is for a first read.
    pub client: Option<ClientKey>,
}

pub struct Permits {
    available: f64,
    /// Permits per second, now and while AWS does not throttle.
    pub rate: f64,
    full_rate: f64,
    refilled: Instant,
    last_decrease: Instant,
    /// When AWS throttled last. None if it has not for [`RECOVERY`].
    throttled_at: Option<Instant>,
    window: Window,
    /// When the next read that is not a first read is due. Evenly paced, they delay no first
    /// read for long.
    paced_at: Instant,
    /// From when the next first read can be granted after one that had to wait.
    spaced_at: Instant,
}

impl Permits {
    pub fn new(rate: f64, limit: Limit) -> Self {
        let now = Instant::now();
        Self {
            available: burst(rate, 1.0),
            rate,
            full_rate: rate,
            refilled: now,
            last_decrease: now,
            throttled_at: None,
            window: Window::new(limit),
            paced_at: now,
            spaced_at: now,
        }
    }

    /// Returns from when a permit is available.
    pub fn available_at(&mut self) -> Instant {
        self.refill();
        let bucket = match self.seconds_until(1.0) {
            seconds if seconds > 0.0 => self.refilled + Duration::from_secs_f64(seconds),
            seconds => self.refilled - Duration::from_secs_f64(-seconds),
        };
        self.window.free_at(self.refilled, 0).map_or(bucket, |free_at| free_at.max(bucket))
    }

    /// Returns from when a permit is available for a first read.
    pub fn spaced_at(&mut self) -> Instant {
        self.available_at().max(self.spaced_at)
    }

    /// Returns from when a permit is available for a first read that must leave permits for other
    /// clients. Those that must wait are an interval apart: after bursts, pauses would follow.
    pub fn shared_at(&mut self) -> Instant {
        let spaced_at = self.spaced_at().max(self.spaced_at + self.window.limit.spacing());
        self.window.leaves_half_at(0).map_or(spaced_at, |shared| shared.max(spaced_at))
    }

    /// Returns from when a permit is available that keeps the pace.
    pub fn paced_at(&mut self) -> Instant {
        self.available_at().max(self.paced_at)
    }

    /// Returns from when a permit is available and plenty of the quota is unused.
    pub fn spare_at(&mut self) -> Instant {
        let paced_at = self.paced_at();
        self.window.mostly_unused().map_or(paced_at, |unused| unused.max(paced_at))
    }

    /// Returns the time until a first read has a permit after `ahead` others. `is_shared`: it must
    /// leave permits for other clients.
    pub fn delay(&mut self, ahead: usize, is_shared: bool) -> Duration {
        self.refill();
        let shared_at = self.window.leaves_half_at(ahead).filter(|_| is_shared);
        let shared = shared_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(self.refilled));
        let bucket = Duration::from_secs_f64(self.seconds_until((ahead + 1) as f64).max(0.0));
        let spaced_at = self.spaced_at + self.window.limit.spacing().mul_f64(ahead as f64);
        let spaced = if self.spaced_at > self.refilled { spaced_at - self.refilled } else { Duration::ZERO };
        bucket.max(self.window.delay(self.refilled, ahead)).max(spaced).max(shared)
    }

    /// Takes a permit, whether or not one is available: it can be one of the shared quota.
    pub fn take(&mut self, due: Instant, is_paced: bool, had_to_wait: bool) -> Permit {
        self.available -= 1.0;
        self.window.record(due);
        if had_to_wait {
            self.spaced_at = due + self.window.limit.spacing();
        }
        if is_paced {
            self.paced_at = due + Duration::from_secs_f64(1.0 / self.rate);
        }
        Permit { granted: Instant::now(), due, client: None }
    }

    pub fn give_back(&mut self, permit: &Permit) {
        self.available += 1.0;
        self.window.remove(permit.due);
        self.spaced_at = self.spaced_at.min(permit.due);
    }

    /// Forgets the debt of the shared quota's permits, since own permits are the fallback.
    pub fn clear_debt(&mut self) {
        self.available = self.available.max(0.0);
    }

    /// Reserves a whole window for reads that this or another replica has reserved already.
    pub fn fill_window(&mut self) {
        // Each replica reserves up to two reads ahead: together, twice this replica's interval.
        let ahead = Duration::from_secs_f64((2.0 / self.rate).min(1.0));
        self.window.fill(Instant::now() + ahead);
    }

    /// Decreases the rate. Permits that were granted before the last decrease do not count. Returns
    /// whether AWS begins to throttle.
    pub fn throttled(&mut self, permit: &Permit) -> bool {
        self.refill();
        if permit.granted >= self.last_decrease {
            self.rate = (self.rate * DECREASE).max(self.full_rate * FLOOR);
            self.available = self.available.min(0.0);
            self.last_decrease = self.refilled;
        }
        self.throttled_at.replace(self.refilled).is_none()
    }

    /// Returns the time until AWS has not throttled for [`RECOVERY`], and zero only once. None if
    /// it does not throttle.
    pub fn throttling_left(&mut self) -> Option<Duration> {
        let left = RECOVERY.saturating_sub(self.throttled_at?.elapsed());
        if left.is_zero() {
            self.throttled_at = None;
        }
        Some(left)
    }

    /// Returns the rate as a fraction of the full rate.
    pub fn rate_fraction(&mut self) -> f64 {
        self.refill();
        self.rate / self.full_rate
    }

    fn seconds_until(&self, permits: f64) -> f64 {
        (permits - self.available) / self.rate
    }

    fn refill(&mut self) {
        let now = Instant::now();
        let seconds = (now - self.refilled).as_secs_f64();
        let available = self.available + seconds * self.rate;
        self.rate = (self.rate + self.full_rate * seconds / RECOVERY.as_secs_f64()).min(self.full_rate);
        self.available = available.min(burst(self.full_rate, self.rate / self.full_rate));
        self.refilled = now;
    }
}

/// Returns the permits of a bucket that can be granted at once after an idle time, at this fraction
/// of the rate. AWS does not document its bucket. One of a second is usual there, and requests can
/// arrive closer together than they were sent. While AWS throttles, there is no burst.
pub fn burst(full_rate: f64, fraction: f64) -> f64 {
    if fraction < 1.0 { 1.0 } else { (full_rate * (1.0 - JITTER.as_secs_f64())).max(1.0) }
}
