//! The quota that replicas share: each reserves one read at a time in Redis, by Redis's clock.

use super::queues::burst;
use crate::{
    results::priority::Priority,
    store::{Operation, PREFIX, Store},
};
use std::time::Duration;
use tokio::time::Instant;

/// The share of the quota for the re-reads of all replicas. First reads always get the rest.
const RE_READ_SHARE: f64 = 0.8;

const RESERVE: &str = include_str!("reserve.lua");

/// The quota of one AWS account and region.
pub struct SharedQuota {
    store: Store,
    /// Reads per second.
    rate: f64,
    key: String,
}

pub enum Reservation {
    /// One read, at this time.
    Granted(Instant),
    /// Retry after this delay.
    Denied(Duration),
    /// Redis is unavailable.
    Unavailable,
}

impl SharedQuota {
    pub fn new(store: Store, rate: f64, region: Option<&str>) -> Self {
        Self { store, rate, key: format!("{PREFIX}quota:{}", region.unwrap_or("none")) }
    }

    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// Returns the time between two reads at this fraction of the rate.
    pub fn interval(&self, fraction: f64) -> Duration {
        Duration::from_secs_f64(1.0 / (self.rate * fraction))
    }

    /// Reserves one read at this fraction of the rate.
    pub async fn reserve(&self, priority: Priority, fraction: f64) -> Reservation {
        let kind = match priority {
            Priority::FirstRead => "first_read",
            Priority::ReRead(_) => "re_read",
            Priority::Capture => "capture",
        };
        let interval = self.interval(fraction).as_micros() as u64;
        let burst = (burst(self.rate * fraction) - 1.0) * interval as f64;
        let mut reserve = redis::cmd("EVAL");
        reserve.arg(RESERVE).arg(1).arg(&self.key).arg(kind).arg(interval).arg(burst as u64).arg(RE_READ_SHARE);
        match self.store.query::<(bool, u64)>(Operation::Quota, &reserve).await {
            Some((true, micros)) => Reservation::Granted(Instant::now() + Duration::from_micros(micros)),
            Some((false, micros)) => Reservation::Denied(Duration::from_micros(micros)),
            None => Reservation::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests;
