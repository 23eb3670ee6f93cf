//! AWS's quota: transactions per second, for each operation.
//!
//! A token bucket with a burst of one second. Faulted requests take no token.

use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use tokio::time::Instant;

use crate::wire::Operation;

pub(crate) struct Quota {
    tps: u32,
    buckets: Mutex<Buckets>,
    rejected: AtomicU64,
}

type Buckets = [Bucket; Operation::ALL.len()];

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Quota {
    pub fn new(tps: u32) -> Self {
        Self { tps, buckets: Mutex::new(full(tps)), rejected: AtomicU64::new(0) }
    }

    /// Refills the buckets, and counts no rejection.
    pub fn reset(&self) {
        *self.lock() = full(self.tps);
        self.rejected.store(0, Ordering::Relaxed);
    }

    /// Takes a token, and returns whether there was one.
    pub fn take(&self, operation: Operation) -> bool {
        if self.tps == 0 {
            return true;
        }
        let mut buckets = self.lock();
        let bucket = &mut buckets[operation as usize];
        let now = Instant::now();
        let added = (now - bucket.filled).as_secs_f64() * f64::from(self.tps);
        bucket.tokens = (bucket.tokens + added).min(f64::from(self.tps));
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            self.rejected.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().expect("no code panics while it holds this lock")
    }
}

fn full(tps: u32) -> Buckets {
    [Bucket { tokens: f64::from(tps), filled: Instant::now() }; Operation::ALL.len()]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn passed(quota: &Quota, operation: Operation) -> usize {
        (0..20).filter(|_| quota.take(operation)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn each_operation_has_its_rate_and_a_burst_of_one_second() {
        let quota = Quota::new(5);
        let [create, get] = Operation::ALL;
        assert_eq!((passed(&quota, get), passed(&quota, create)), (5, 5));
        tokio::time::advance(Duration::from_millis(400)).await;
        assert_eq!(passed(&quota, get), 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(passed(&quota, get), 5);
        assert_eq!(quota.rejected(), 63);
    }

    #[tokio::test]
    async fn zero_means_no_quota() {
        assert_eq!(passed(&Quota::new(0), Operation::GetFaceLivenessSessionResults), 20);
    }
}
