//! The quota that replicas share: each reserves one read at a time in Redis, by Redis's clock.

use super::{permits::burst, window::Limit};
use crate::{
    results::priority::Priority,
    store::{Operation, PREFIX, Store},
};
use std::time::Duration;
use tokio::time::Instant;

/// The share of the quota for the re-reads of all replicas, while first reads wait.
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

    pub fn limit(&self) -> Limit {
        Limit::new(self.rate, 1.0)
    }

    /// Reserves one read at this fraction of the rate. `is_beyond_share`: a first read that must
    /// leave reads for other clients.
    pub async fn reserve(&self, priority: Priority, is_beyond_share: bool, fraction: f64) -> Reservation {
        let kind = match priority {
            Priority::FirstRead if is_beyond_share => "beyond_share",
            Priority::FirstRead => "first_read",
            Priority::ReRead(_) => "re_read",
            Priority::Capture => "capture",
            Priority::NotFound => "not_found",
        };
        let Limit { grants, length } = self.limit();
        let interval = 1e6 / (self.rate * fraction);
        let burst = (burst(self.rate, fraction) - 1.0) * interval;
        let mut reserve = redis::cmd("EVAL");
        reserve.arg(RESERVE).arg(1).arg(&self.key).arg(kind).arg(interval as u64).arg(burst as u64).arg(RE_READ_SHARE);
        reserve.arg(grants).arg(length.as_micros() as u64);
        match self.store.query_with_retries::<(bool, u64)>(Operation::Quota, &reserve).await {
            Some((true, micros)) => Reservation::Granted(Instant::now() + Duration::from_micros(micros)),
            Some((false, micros)) => Reservation::Denied(Duration::from_micros(micros)),
            None => Reservation::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests;
