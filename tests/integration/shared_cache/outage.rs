//! Outages of Redis under load: no call fails or is slow, and AWS is read at most as often as without
//! Redis.

use super::{Replicas, load::Load};
use crate::{admin::get, facade::eventually, redis::Redis};
use face_liveness_facade::simulator;
use std::time::{Duration, Instant};

/// Enough replicas to show whether they share reads.
const REPLICAS: usize = 3;

/// The timeout of Redis commands. Long enough for a healthy Redis on a busy machine.
const TIMEOUT: &str = "150ms";

/// The longest latency of a call: a lookup, a lease and a write, each of which can time out, on a busy
/// machine.
const LONGEST: Duration = Duration::from_secs(2);

/// Enough sessions to detect whether Redis is used.
const FEW: u32 = 15;

struct Outage {
    replicas: Replicas,
    load: Load,
}

impl Outage {
    async fn begin() -> Self {
        let flags = ["--shared-cache-timeout", TIMEOUT, "--quota-tps", "0"];
        let replicas = Replicas::with(REPLICAS, &flags, simulator::Config::default(), Redis::start().ready()).await;
        let addresses = replicas.all.iter().map(|replica| replica.address.to_string());
        let load = Load::on(addresses, &replicas.simulator).await;
        let outage = Self { replicas, load };
        outage.assert_reads_are_shared().await;
        outage
    }

    /// Waits until every replica reports this value of `face_liveness_shared_cache_up`.
    async fn up(&self, up: f64) {
        for replica in &self.replicas.all {
            let is = async || replica.metric("face_liveness_shared_cache_up").await == up;
            eventually("every replica detects the change of Redis", is).await;
        }
    }

    async fn assert_reads_are_shared(&self) {
        let sessions = self.load.advance(FEW).await;
        assert_eq!(self.load.reads(&sessions), [1; FEW as usize]);
    }

    async fn assert_reads_are_not_shared(&self) {
        let sessions = self.load.advance(FEW).await;
        assert_eq!(self.load.reads(&sessions), [REPLICAS as u64; FEW as usize]);
        self.assert_ready().await;
    }

    async fn assert_ready(&self) {
        for replica in &self.replicas.all {
            assert_eq!(get(replica.admin_address, "/readyz").await.0, 200);
        }
    }

    /// Waits until Redis is up again, and asserts that the outage had no effect.
    async fn assert_recovers(self) {
        self.up(1.0).await;
        self.assert_reads_are_shared().await;
        assert!(self.load.most_reads() <= REPLICAS as u64, "{} reads of one session", self.load.most_reads());
        self.load.assert_no_failures(LONGEST);
        self.assert_ready().await;
    }
}

#[tokio::test]
async fn a_redis_that_restarts_empty_fails_no_call() {
    let mut outage = Outage::begin().await;
    outage.replicas.redis.kill();
    outage.up(0.0).await;
    outage.assert_reads_are_not_shared().await;
    outage.replicas.redis.restart();
    outage.assert_recovers().await;
}

#[tokio::test]
async fn a_paused_redis_neither_fails_nor_delays_calls() {
    let outage = Outage::begin().await;
    outage.replicas.redis.command::<()>(&["CLIENT", "PAUSE", "2000", "ALL"]);
    outage.up(0.0).await;
    outage.assert_reads_are_not_shared().await;
    outage.assert_recovers().await;
}

#[tokio::test]
async fn a_full_redis_fails_no_call() {
    let outage = Outage::begin().await;
    outage.replicas.redis.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1"]);
    outage.up(0.0).await;
    outage.assert_reads_are_not_shared().await;
    outage.replicas.redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    outage.assert_recovers().await;
}

#[tokio::test]
async fn a_redis_that_becomes_read_only_fails_no_call() {
    let outage = Outage::begin().await;
    outage.replicas.redis.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    outage.up(0.0).await;
    outage.assert_reads_are_not_shared().await;
    outage.replicas.redis.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    outage.assert_recovers().await;
}

#[tokio::test]
async fn a_redis_that_evicts_keys_fails_no_call_and_still_shares_results() {
    let outage = Outage::begin().await;
    let redis = &outage.replicas.redis;
    let number = |section: &str, name: &str| {
        let text: String = redis.command(&["INFO", section]);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.expect("Redis counts it").trim().parse::<u64>().expect("a number")
    };
    // Other keys, so that not only the newest are evicted.
    let fill = "for i = 1, 3000 do redis.call('SET', 'other:' .. i, string.rep('x', 400)) end";
    redis.command::<()>(&["EVAL", fill, "0"]);
    let limit = number("memory", "used_memory").to_string();
    redis.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", &limit]);
    eventually("some keys are evicted", async || number("stats", "evicted_keys") > 20).await;
    let sessions = outage.load.advance(FEW).await;
    let reads: u64 = outage.load.reads(&sessions).iter().sum();
    assert!(reads < u64::from(FEW) * 2, "{reads} reads");
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    outage.assert_recovers().await;
}

#[tokio::test]
async fn calls_do_not_contact_a_redis_that_is_down() {
    let mut outage = Outage::begin().await;
    outage.replicas.redis.kill();
    outage.up(0.0).await;
    let replica = &outage.replicas.all[0];
    let lookups = async || {
        let outcomes = ["ok", "timeout", "lost"];
        let mut count = 0.0;
        for outcome in outcomes {
            let series =
                format!(r#"face_liveness_shared_cache_operations_total{{operation="lookup",outcome="{outcome}"}}"#);
            count += replica.metric(&series).await;
        }
        count
    };
    let (before, since) = (lookups().await, Instant::now());
    outage.load.advance(FEW).await;
    assert_eq!(lookups().await, before, "a lookup after {:?}", since.elapsed());
}
