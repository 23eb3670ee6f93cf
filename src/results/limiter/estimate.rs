//! An estimate of when reservations of the shared quota come.

use std::time::Duration;
use tokio::time::Instant;

/// After this time other replicas can need more or fewer reservations than before.
const RECENT: Duration = Duration::from_secs(2);

/// Estimates the time of this replica's next reservations from its last ones.
#[derive(Default)]
pub struct ReservationEstimate {
    last: Option<Instant>,
    /// The average interval between two of this replica's reservations, with those of other
    /// replicas between them.
    interval: Duration,
    /// The interval if no other replica reserves.
    min_interval: Duration,
}

impl ReservationEstimate {
    /// Records a reservation at `at`.
    pub fn record(&mut self, at: Instant, min_interval: Duration) {
        let since = self.last.map_or(min_interval, |last| at.saturating_duration_since(last));
        // During a longer pause this replica needed no reservation.
        let interval = if since > RECENT { min_interval } else { since };
        self.interval = ((self.interval + interval) / 2).max(min_interval);
        (self.last, self.min_interval) = (Some(at), min_interval);
    }

    /// Returns the time until the reservation after `ahead` others.
    pub fn delay(&self, now: Instant, ahead: usize) -> Duration {
        let Some(last) = self.last else { return Duration::ZERO };
        let is_recent = now.saturating_duration_since(last) <= RECENT;
        let interval = if is_recent { self.interval } else { self.min_interval };
        last.saturating_duration_since(now) + interval * u32::try_from(ahead).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_counts_permits_of_other_replicas_until_a_pause() {
        let interval = Duration::from_millis(25);
        let (mut estimate, mut at) = (ReservationEstimate::default(), Instant::now());
        assert_eq!(estimate.delay(at, 10), Duration::ZERO);
        // The other replica has every second reservation.
        for _ in 0..40 {
            at += 2 * interval;
            estimate.record(at, interval);
        }
        let delay = estimate.delay(at, 10);
        assert!(delay.abs_diff(20 * interval) < Duration::from_millis(1), "{delay:?}");
        assert_eq!(estimate.delay(at + RECENT + interval, 10), 10 * interval);
    }
}
