//! The quota of the whole account, which replicas take slots of, one at a time, by the store's
//! clock.

use super::queues::BURST_SECONDS;
use crate::{
    results::priority::Priority,
    store::{Operation, PREFIX, Store},
};
use redis::Cmd;
use std::time::Duration;
use tokio::time::Instant;

/// Re-reads of all replicas together leave one slot of five to first reads, which so get through on
/// any replica.
const RE_READ_SHARE: f64 = 0.8;

const RESERVE: &str = include_str!("reserve.lua");

/// The quota that all replicas share.
pub struct Account {
    store: Store,
    /// Reads a second.
    rate: f64,
    key: String,
}

/// What a reservation comes to.
pub enum Slot {
    /// One read, then.
    Reserved(Instant),
    /// None, and no use to ask again before.
    Later(Duration),
}

impl Account {
    /// The quota of a region: AWS counts each by itself.
    pub fn new(store: Store, rate: f64, region: Option<&str>) -> Self {
        Self { store, rate, key: format!("{PREFIX}quota:{}", region.unwrap_or("none")) }
    }

    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// The time between two slots, when only `share` of the rate is to be used.
    pub fn interval(&self, share: f64) -> Duration {
        Duration::from_secs_f64(1.0 / (self.rate * share))
    }

    /// Reserves a slot. Nothing when the store does not answer.
    pub async fn reserve(&self, need: Priority, share: f64) -> Option<Slot> {
        let need = match need {
            Priority::FirstRead => "first_read",
            Priority::ReRead(_) => "re_read",
            Priority::Capture => "capture",
        };
        let interval = self.interval(share).as_micros() as u64;
        let burst = ((self.rate * share * BURST_SECONDS).max(1.0) - 1.0) * interval as f64;
        let mut reserve: Cmd = redis::cmd("EVAL");
        reserve.arg(RESERVE).arg(1).arg(&self.key).arg(need).arg(interval).arg(burst as u64).arg(RE_READ_SHARE);
        let (granted, micros) = self.store.query::<(u8, u64)>(Operation::Quota, &reserve).await?;
        let wait = Duration::from_micros(micros);
        Some(if granted == 1 { Slot::Reserved(Instant::now() + wait) } else { Slot::Later(wait) })
    }
}

/// How slots have come to this replica of late, and so will come.
#[derive(Default)]
pub struct Slots {
    last: Option<Instant>,
    /// What lies between two: other replicas have slots in it.
    apart: Duration,
    /// The same for a replica that is alone.
    interval: Duration,
}

impl Slots {
    /// The next slot is to be had at `at`.
    pub fn expect(&mut self, at: Instant, interval: Duration) {
        let since = self.last.map_or(interval, |last| at.saturating_duration_since(last));
        // A pause in which nobody asked is not one that others filled.
        let apart = if since > RECENT { interval } else { since };
        (self.last, self.apart, self.interval) = (Some(at), ((self.apart + apart) / 2).max(interval), interval);
    }

    /// How long until the slot after `ahead` others.
    pub fn delay(&self, now: Instant, ahead: usize) -> Duration {
        let Some(last) = self.last else { return Duration::ZERO };
        let apart = if now.saturating_duration_since(last) > RECENT { self.interval } else { self.apart };
        last.saturating_duration_since(now) + apart * u32::try_from(ahead).unwrap_or(u32::MAX)
    }
}

/// After so long the other replicas may want more slots than they did, or fewer.
const RECENT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
