//! Limiters that share a quota through a real redis-server, on the real clock.

use super::*;
use crate::{
    results::limiter::Limiter,
    store::{Settings, Sources},
    telemetry::metrics::Metrics,
};
use redis_server::Redis;
use std::sync::Arc;
use tokio::task::JoinSet;

#[path = "../../../../tests/integration/redis.rs"]
mod redis_server;

/// Permits a second of all replicas together, and the burst of half a second.
const QUOTA: f64 = 40.0;
const QUOTA_BURST: f64 = 20.0;

/// Permits a second of a replica that has only its own share. So few that tests see which of the
/// two rates a permit came from.
const SHARE: f64 = 2.0;
const SHARE_BURST: f64 = 1.0;

/// A limiter that is connected to Redis, with its tasks.
struct Replica {
    limiter: Arc<Limiter>,
    metrics: Arc<Metrics>,
    _tasks: JoinSet<()>,
}

impl Replica {
    async fn start(redis: &Redis) -> Self {
        let url = redis.url().parse().unwrap();
        let settings = Settings::new(&url, None, Sources::default(), Duration::from_secs(5)).unwrap();
        let metrics = Arc::new(Metrics::new(&[], &[]));
        let store = Store::new(settings, Arc::clone(&metrics));
        let limiter = Arc::new(Limiter::new(SHARE, Some(Account::new(store.clone(), QUOTA, None))));
        let (connects, grants) = (store.clone(), Arc::clone(&limiter));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { connects.run().await });
        tasks.spawn(async move { grants.run().await });
        store.tried().await;
        Self { limiter, metrics, _tasks: tasks }
    }

    /// Queues this many first reads at once, and returns when each got its permit.
    async fn grants(&self, count: usize) -> Vec<Instant> {
        let queued: Vec<_> = (0..count).map(|_| self.limiter.queue(Need::FirstRead)).collect();
        let mut grants = Vec::new();
        for mut queued in queued {
            grants.push(queued.granted().await.granted);
        }
        grants
    }

    /// Waits until the metric says whether Redis is in use.
    async fn wait_for_redis(&self, up: bool) {
        let looks = async {
            while self.metrics.store_up.get() != i64::from(up) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), looks).await.expect("the metric changes");
    }
}

/// Asserts that at no time since `start` more permits were granted than the rate and its burst. A
/// busy machine delays grants, and so never fails this.
fn assert_within(start: Instant, mut grants: Vec<Instant>, rate: f64, burst: f64) {
    grants.sort();
    for (earlier, at) in grants.iter().enumerate() {
        let allowed = burst + rate * (*at - start).as_secs_f64();
        // The two clocks may differ by a little: half a permit.
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
    // Their own shares would take 20 s for it.
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
    // Its own share would take 30 s for it.
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

#[test]
fn the_delay_estimate_counts_permits_of_other_replicas_until_a_pause() {
    let interval = Duration::from_millis(25);
    let (mut slots, mut at) = (Slots::default(), Instant::now());
    assert_eq!(slots.delay(at, 10), Duration::ZERO);
    // The other replica takes every second one.
    for _ in 0..40 {
        at += 2 * interval;
        slots.expect(at, interval);
    }
    let delay = slots.delay(at, 10);
    assert!(delay.abs_diff(20 * interval) < Duration::from_millis(1), "{delay:?}");
    assert_eq!(slots.delay(at + RECENT + interval, 10), 10 * interval);
}
