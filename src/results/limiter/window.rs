//! The limit of grants within a sliding second, from the times of the last ones.
//!
//! A token bucket that is full after an idle time lets its burst and the rate through within one
//! second. With a window, a grant is at least [`Limit::length`] after the one [`Limit::grants`]
//! before it. Between two seconds, a read can reach AWS up to [`JITTER`] later than its permit was
//! granted, so the window is longer than a second.
//!
//! The window of a rate of 25 is 26 grants in 1.04 s, that of 5 is 6 grants in 1.2 s: AWS sees at
//! most one read more than the rate in any second, and the average rate is the whole rate.
//!
//! While reads wait, a burst would return once per window, and meet the late reads of the last one.
//! So the reads that must wait are spread over half of a window.

use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// The longest delay between a permit and AWS's side, less the shortest one: 30 ms of the network,
/// and [`LATENESS`].
pub const JITTER: Duration = Duration::from_millis(35);

/// The lateness of a timer that does not count, since it would lower the average rate.
pub const LATENESS: Duration = Duration::from_millis(5);

/// Bounds the memory of a window, here and in Redis. A higher rate gets a shorter window.
const MAX_GRANTS: f64 = 1_000.0;

/// At most this many grants within this time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    pub grants: usize,
    pub length: Duration,
}

impl Limit {
    /// Returns the limit of a share of the quota. AWS may see one read per second more than the
    /// quota: all limiters together have this read, and `spare` is this limiter's part of it.
    pub fn new(rate: f64, spare: f64) -> Self {
        // Not 1.999… for 5/3 + 1/3.
        let per_second = (rate + spare + 1e-9).floor().max(1.0);
        let grants = per_second.min(MAX_GRANTS);
        let shortest = (1.0 + JITTER.as_secs_f64()) * grants / per_second;
        Self { grants: grants as usize, length: Duration::from_secs_f64(shortest.max(grants / rate)) }
    }

    /// Returns the least time between a read that had to wait and the next one.
    pub fn spacing(&self) -> Duration {
        self.length.div_f64(2.0 * self.grants as f64)
    }
}

/// The times of the last grants within a [`Limit`].
pub struct Window {
    pub limit: Limit,
    times: VecDeque<Instant>,
}

impl Window {
    pub fn new(limit: Limit) -> Self {
        Self { limit, times: VecDeque::new() }
    }

    /// Records a grant at `at`.
    pub fn record(&mut self, at: Instant) {
        self.times.push_back(at);
        while self.times.len() > self.limit.grants
            || self.times.front().is_some_and(|time| *time + self.limit.length < at)
        {
            self.times.pop_front();
        }
    }

    /// Records as many grants as the window has, at `at`.
    pub fn fill(&mut self, at: Instant) {
        self.times = std::iter::repeat_n(at, self.limit.grants).collect();
    }

    /// Removes a grant that was not used.
    pub fn remove(&mut self, at: Instant) {
        if let Some(index) = self.times.iter().rposition(|time| *time == at) {
            self.times.remove(index);
        }
    }

    /// Returns the time from which the window allows a grant after `ahead` others. None if it
    /// has allowed one all the time.
    pub fn free_at(&self, now: Instant, ahead: usize) -> Option<Instant> {
        let waiting = ahead.checked_sub(self.limit.grants - self.times.len())?;
        let (rounds, index) = (waiting / self.limit.grants, waiting % self.limit.grants);
        let freed_by = |index: usize| self.times.get(index).map_or(now, |time| *time) + self.limit.length;
        let (first, mut free_at) = (freed_by(0), freed_by(index));
        if first > now {
            free_at = free_at.max(first + self.limit.spacing().mul_f64(index as f64));
        }
        match u32::try_from(rounds).unwrap_or(u32::MAX) {
            0 => Some(free_at),
            rounds => Some(free_at.max(now) + self.limit.length * rounds),
        }
    }

    /// Returns the time until the window allows a grant after `ahead` others.
    pub fn delay(&self, now: Instant, ahead: usize) -> Duration {
        self.free_at(now, ahead).map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(now))
    }

    /// Returns the time from which a grant after `ahead` others leaves half of the rate for reads
    /// that come later: each gets a permit within one interval. So after half of a window at once,
    /// grants are two intervals apart; at an even pace, the whole rate is granted. None if a grant
    /// does at any time.
    pub fn leaves_half_at(&self, ahead: usize) -> Option<Instant> {
        let Limit { grants, length } = self.limit;
        let (interval, now) = (length.div_f64(grants as f64), Instant::now());
        let earlier = |count: usize| match count.checked_sub(ahead + 1) {
            Some(recorded) => self.times.len().checked_sub(recorded + 1).map(|index| self.times[index]),
            None => Some(now),
        };
        let bound = |count: usize| Some(earlier(count)? + interval * (2 * count + 1).checked_sub(grants)? as u32);
        (grants.div_ceil(2)..grants).filter_map(bound).max()
    }

    /// Returns the time from which more than half of the window is unused.
    pub fn mostly_unused(&self) -> Option<Instant> {
        let half = (self.limit.grants / 2).max(1);
        let index = self.times.len().checked_sub(half)?;
        Some(self.times[index] + self.limit.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_keeps_the_whole_rate_and_allows_one_read_more_per_second() {
        for (rate, replicas, grants, millis) in [
            (25.0, 1.0, 26, 1_040),
            (5.0, 1.0, 6, 1_200),
            (0.5, 1.0, 1, 2_000),
            (25.0, 2.0, 13, 1_040),
            (5.0, 3.0, 2, 1_200),
            // Four times six reads are within the quota, and four times seven are not.
            (25.0, 4.0, 6, 1_035),
        ] {
            let limit = Limit::new(rate / replicas, 1.0 / replicas);
            assert_eq!((limit.grants, limit.length.as_millis()), (grants, millis), "{rate} / {replicas}");
        }
    }

    #[test]
    fn after_a_whole_window_the_next_grant_is_one_window_later() {
        let now = Instant::now();
        let mut window = Window::new(Limit::new(25.0, 1.0));
        let length = window.limit.length;
        window.record(now);
        assert_eq!((window.free_at(now, 24), window.free_at(now, 25)), (None, Some(now + length)));
        let spaced = now + length + window.limit.spacing();
        assert_eq!((window.free_at(now, 26), window.free_at(now, 51)), (Some(spaced), Some(now + 2 * length)));
        window.remove(now);
        assert_eq!(window.free_at(now, 25), None);
    }
}
