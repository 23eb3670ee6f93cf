//! An estimate of when reservations of the shared quota come.

use super::window::{Limit, Window};
use std::time::Duration;
use tokio::time::Instant;

/// After this time other replicas can need more or fewer reservations than before.
const RECENT: Duration = Duration::from_secs(2);

/// Estimates the time of this replica's next reservations from its last ones.
pub struct ReservationEstimate {
    last: Option<Instant>,
    /// The average interval between two of this replica's reservations that had to wait, with those
    /// of other replicas between them. Zero if reservations do not wait.
    interval: Duration,
    /// The other replicas may need nothing: then this replica's reservations fill the quota.
    window: Window,
}

impl ReservationEstimate {
    pub fn new(limit: Limit) -> Self {
        Self { last: None, interval: Duration::ZERO, window: Window::new(limit) }
    }

    /// Records that `at` was reserved.
    pub fn record(&mut self, now: Instant, at: Instant) {
        let since = self.last.map(|last| at.saturating_duration_since(last));
        let interval = since.filter(|since| at > now && *since <= RECENT).unwrap_or_default();
        self.interval = (self.interval + interval) / 2;
        self.last = Some(at);
        self.window.record(at);
    }

    /// Returns the time until the reservation after `ahead` others.
    pub fn delay(&self, now: Instant, ahead: usize) -> Duration {
        let Some(last) = self.last.filter(|last| now.saturating_duration_since(*last) <= RECENT) else {
            return self.window.delay(now, ahead);
        };
        let queue = last.saturating_duration_since(now) + self.interval * u32::try_from(ahead).unwrap_or(u32::MAX);
        queue.max(self.window.delay(now, ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_counts_permits_of_other_replicas_until_a_pause() {
        let limit = Limit::new(40.0, 1.0);
        let interval = Duration::from_millis(25);
        let (mut estimate, mut now) = (ReservationEstimate::new(limit), Instant::now());
        assert_eq!(estimate.delay(now, 10), Duration::ZERO);
        // The other replica has every second reservation.
        for _ in 0..40 {
            now += 2 * interval;
            estimate.record(now, now + interval);
        }
        let delay = estimate.delay(now + interval, 10);
        assert!(delay.abs_diff(20 * interval) < Duration::from_millis(1), "{delay:?}");
        assert_eq!(estimate.delay(now + RECENT + 2 * interval, 10), Duration::ZERO);
    }

    #[test]
    fn reservations_that_do_not_wait_predict_no_delay_up_to_the_quota() {
        let limit = Limit::new(25.0, 1.0);
        let (mut estimate, mut now) = (ReservationEstimate::new(limit), Instant::now());
        for _ in 0..20 {
            now += Duration::from_millis(500);
            estimate.record(now, now);
        }
        assert_eq!(estimate.delay(now, 20), Duration::ZERO);
        assert!(estimate.delay(now, 30) > Duration::from_millis(900), "{:?}", estimate.delay(now, 30));
    }
}
