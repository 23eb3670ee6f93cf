//! Limiters that share a quota through a real redis-server, on the real clock.

use super::*;
use crate::{
    results::{limiter::Limiter, priority::Priority},
    store::{Settings, Sources, StoreMetrics},
    telemetry::metrics::Registry,
};
use redis_server::Redis;
use std::sync::Arc;
use tokio::task::JoinSet;

#[path = "../../../../tests/integration/redis.rs"]
mod redis_server;

/// Permits per second of all replicas together, and the burst of half a second.
const QUOTA: f64 = 40.0;
const QUOTA_BURST: f64 = 20.0;

/// Permits per second of a replica's own share. They are so few that tests see which of the two
/// rates a permit came from.
const SHARE: f64 = 2.0;
const SHARE_BURST: f64 = 1.0;

/// A limiter that is connected to Redis, with its tasks.
struct Replica {
    limiter: Arc<Limiter>,
    metrics: StoreMetrics,
    _tasks: JoinSet<()>,
}

impl Replica {
    async fn start(redis: &Redis) -> Self {
        let url = redis.url().parse().unwrap();
        let settings = Settings::new(&url, None, Sources::default(), Duration::from_secs(5)).unwrap();
        let metrics = StoreMetrics::new(&Registry::default());
        let store = Store::new(settings, metrics.clone());
        let limiter = Arc::new(Limiter::new(SHARE, Some(SharedQuota::new(store.clone(), QUOTA, None))));
        let (connecting, granting) = (store.clone(), Arc::clone(&limiter));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { connecting.run().await });
        tasks.spawn(async move { granting.run().await });
        store.tried().await;
        Self { limiter, metrics, _tasks: tasks }
    }

    /// Queues this many first reads at once, and returns when each got its permit.
    async fn grants(&self, count: usize) -> Vec<Instant> {
        let queued: Vec<_> = (0..count).map(|_| self.limiter.queue(Priority::FirstRead)).collect();
        let mut grants = Vec::new();
        for mut queued in queued {
            grants.push(queued.granted().await.granted);
        }
        grants
    }

    /// Waits until the metric shows whether Redis is available.
    async fn wait_for_redis(&self, up: bool) {
        let polling = async {
            while self.metrics.up.get() != i64::from(up) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), polling).await.expect("the metric changes");
    }
}

/// Asserts that the grants since `start` never exceeded the rate and its burst. A busy machine only
/// delays grants.
fn assert_within(start: Instant, mut grants: Vec<Instant>, rate: f64, burst: f64) {
    grants.sort();
    for (earlier, at) in grants.iter().enumerate() {
        let allowed = burst + rate * (*at - start).as_secs_f64();
        // The clocks of Redis and this process can differ by half a permit.
        assert!((earlier + 1) as f64 <= allowed + 0.5, "{} permits after {:?}", earlier + 1, *at - start);
    }
}

#[tokio::test]
async fn two_limiters_together_stay_within_one_quota_and_its_burst() {
    let redis = Redis::start().ready();
    let replicas = [Replica::start(&redis).await, Replica::start(&redis).await];
    let start = Instant::now();
    let (first, second) = tokio::join!(replicas[0].grants(40), replicas[1].grants(40));
    assert_within(start, [first, second].concat(), QUOTA, QUOTA_BURST);
    // With their own shares this would take 20 s.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(replicas.map(|replica| replica.limiter.rate()), [QUOTA; 2]);
}

#[tokio::test]
async fn one_busy_limiter_gets_the_whole_quota_while_the_other_is_idle() {
    let redis = Redis::start().ready();
    let (busy, _idle) = (Replica::start(&redis).await, Replica::start(&redis).await);
    let start = Instant::now();
    let grants = busy.grants(60).await;
    assert_within(start, grants, QUOTA, QUOTA_BURST);
    // With its own share this would take 30 s.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[tokio::test]
async fn without_redis_each_limiter_grants_its_own_share() {
    let mut redis = Redis::start().ready();
    let replicas = [Replica::start(&redis).await, Replica::start(&redis).await];
    for replica in &replicas {
        replica.grants(1).await;
        assert_eq!(replica.limiter.rate(), QUOTA);
    }
    redis.kill();
    for replica in &replicas {
        replica.wait_for_redis(false).await;
    }
    let start = Instant::now();
    let both = tokio::join!(replicas[0].grants(4), replicas[1].grants(4));
    for grants in [both.0, both.1] {
        assert_within(start, grants, SHARE, SHARE_BURST);
    }
    assert_eq!(replicas.map(|replica| replica.limiter.rate()), [SHARE; 2]);
}

#[tokio::test]
async fn limiters_return_to_the_shared_quota_when_redis_is_back() {
    let mut redis = Redis::start().ready();
    let replicas = [Replica::start(&redis).await, Replica::start(&redis).await];
    redis.kill();
    for replica in &replicas {
        replica.wait_for_redis(false).await;
        replica.grants(1).await;
        assert_eq!(replica.limiter.rate(), SHARE);
    }
    redis.restart();
    for replica in &replicas {
        replica.wait_for_redis(true).await;
    }
    let start = Instant::now();
    let (first, second) = tokio::join!(replicas[0].grants(40), replicas[1].grants(40));
    assert_within(start, [first, second].concat(), QUOTA, QUOTA_BURST);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(replicas.map(|replica| replica.limiter.rate()), [QUOTA; 2]);
    assert_eq!(redis.command::<u64>(&["EXISTS", &format!("{PREFIX}quota:none")]), 1);
}
