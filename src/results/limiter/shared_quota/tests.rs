//! Limiters that share a quota through a real redis-server, on the real clock.

use super::*;
use crate::{
    results::{limiter::Limiter, priority::Priority},
    store::{CredentialSources, StoreMetrics, StoreSettings},
    telemetry::metrics::Registry,
};
use redis_server::Redis;
use std::sync::Arc;
use tokio::task::JoinSet;

#[path = "../../../../tests/integration/redis.rs"]
mod redis_server;

/// Permits per second of all replicas together. There are enough replicas to see whether permits
/// come from a replica's own share.
const QUOTA: f64 = 40.0;
const REPLICAS: u32 = 20;

/// Permits per second of a replica's own share.
const SHARE: f64 = 2.0;

/// A limiter that is connected to Redis, with its tasks.
struct Replica {
    limiter: Arc<Limiter>,
    metrics: StoreMetrics,
    _tasks: JoinSet<()>,
}

impl Replica {
    async fn start(redis: &Redis) -> Self {
        let url = redis.url().parse().unwrap();
        let settings = StoreSettings::new(&url, None, CredentialSources::default(), Duration::from_secs(5)).unwrap();
        let metrics = StoreMetrics::new(&Registry::default());
        let store = Store::new(settings, metrics.clone());
        let limiter = Arc::new(Limiter::new(QUOTA, REPLICAS, Some(SharedQuota::new(store.clone(), QUOTA, None))));
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
            grants.push(queued.granted().await.unwrap().granted);
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

/// Asserts that no second has more grants than the rate and one.
fn assert_within(mut grants: Vec<Instant>, rate: f64) {
    grants.sort();
    for (index, from) in grants.iter().enumerate() {
        let window = grants[index..].iter().take_while(|at| **at < *from + Duration::from_secs(1)).count();
        assert!(window as f64 <= rate + 1.0, "{window} permits in a second");
    }
}

#[tokio::test]
async fn two_limiters_together_stay_within_one_quota() {
    let redis = Redis::start().ready();
    let replicas = [Replica::start(&redis).await, Replica::start(&redis).await];
    let start = Instant::now();
    let (first, second) = tokio::join!(replicas[0].grants(40), replicas[1].grants(40));
    assert_within([first, second].concat(), QUOTA);
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
    assert_within(grants, QUOTA);
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
    let both = tokio::join!(replicas[0].grants(4), replicas[1].grants(4));
    for grants in [both.0, both.1] {
        assert_within(grants, SHARE);
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
    assert_within([first, second].concat(), QUOTA);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(replicas.map(|replica| replica.limiter.rate()), [QUOTA; 2]);
    assert_eq!(redis.command::<u64>(&["EXISTS", &format!("{PREFIX}quota:none")]), 1);
}

/// The script with a clock that the test sets, and a reservation by it.
struct Script {
    redis: Redis,
    text: String,
    now: u64,
}

impl Script {
    fn start() -> Self {
        let text = RESERVE.replace("redis.call('TIME')", "{0, ARGV[7]}");
        Self { redis: Redis::start().ready(), text, now: 1_000_000_000 }
    }

    /// Returns the microseconds until the read, or an error with those until a retry.
    fn reserve(&self, rate: f64, kind: &str) -> Result<u64, u64> {
        let Limit { grants, length } = Limit::new(rate, 1.0);
        let interval = 1e6 / rate;
        let burst = (burst(rate, 1.0) - 1.0) * interval;
        let numbers = [interval as u64, burst as u64].map(|number| number.to_string());
        let [grants, length, now] =
            [grants as u64, length.as_micros() as u64, self.now].map(|number| number.to_string());
        let share = RE_READ_SHARE.to_string();
        let arguments =
            ["EVAL", &self.text, "1", "quota", kind, &numbers[0], &numbers[1], &share, &grants, &length, &now];
        let (is_granted, micros): (bool, u64) = self.redis.command(&arguments);
        if is_granted { Ok(micros) } else { Err(micros) }
    }
}

#[test]
fn by_the_script_aws_sees_at_most_one_read_more_than_the_quota_in_any_second() {
    for rate in [25.0, 5.0] {
        let mut script = Script::start();
        let mut rng = fastrand::Rng::with_seed(7);
        // Each replica reserves again after its last reserved read.
        let (mut busy_until, mut reads) = ([0; 5], Vec::new());
        for step in 0..3_000 {
            script.now += if step % 500 == 0 { 3_000_000 } else { 5_000 };
            for busy in &mut busy_until {
                let kind = ["first_read", "re_read", "re_read", "capture", "not_found"][rng.usize(..5)];
                if *busy <= script.now
                    && let Ok(micros) = script.reserve(rate, kind)
                {
                    *busy = script.now + micros;
                    // It arrives within 30 ms.
                    reads.push(*busy + rng.u64(..=30_000));
                }
            }
        }
        reads.sort_unstable();
        let in_second = |from: usize| reads[from..].iter().take_while(|at| **at < reads[from] + 1_000_000).count();
        let most = (0..reads.len()).map(in_second).max().expect("there are reads");
        assert!(most as f64 <= rate + 1.0, "{most} reads in a second at {rate}");
        // Six idle times of three seconds, and else the whole rate.
        let expected = rate * 15.0;
        assert!(reads.len() as f64 > 0.97 * expected, "{} of {expected}", reads.len());
    }
}

#[test]
fn by_the_script_the_reads_that_wait_after_a_burst_are_spread_over_half_a_window() {
    let script = Script::start();
    let reserve = |_| script.reserve(25.0, "first_read").expect("a first read is never denied");
    let times: Vec<_> = (0..100).map(reserve).collect();
    assert_eq!(times.iter().filter(|time| **time == 0).count(), 24, "{times:?}");
    assert!(times[26..].windows(2).all(|pair| pair[1] - pair[0] >= 19_999), "{times:?}");
    assert!(times[99] < 4_000_000, "{times:?}");
}

#[test]
fn by_the_script_unknown_ids_get_a_tenth_while_other_replicas_wait() {
    let mut script = Script::start();
    let (mut busy_until, mut counts) = (0, [0, 0]);
    for _ in 0..2_000 {
        script.now += 5_000;
        if busy_until <= script.now {
            busy_until = script.now + script.reserve(25.0, "re_read").expect("a re-read is never denied");
            counts[0] += 1;
        }
        counts[1] += usize::from(script.reserve(25.0, "not_found").is_ok());
    }
    let [others, unknown] = counts;
    assert!(unknown * 9 <= others + 30 && unknown > 10, "{unknown} unknown, {others} others");
}
