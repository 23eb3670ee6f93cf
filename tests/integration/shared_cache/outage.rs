//! All that can happen to a store, under load: no call fails, none takes long, and AWS is read no
//! oftener than without a store.

use super::{Replicas, load::Load};
use crate::{admin::get, facade::eventually, redis::Redis};
use face_liveness_facade::simulator;
use std::time::{Duration, Instant};

/// As many replicas as show who reads for whom.
const REPLICAS: usize = 3;

/// How long a replica waits for the store. Long enough for a store that is well on a busy machine.
const TIMEOUT: &str = "150ms";

/// What a call takes at most: a look-up, a lease and a result kept, each of which may run into the
/// timeout, and a busy machine.
const LONGEST: Duration = Duration::from_secs(2);

/// Enough sessions to see a store fail, and enough to see it well.
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
        outage.assert_one_reads_for_all().await;
        outage
    }

    /// Waits until every replica says this of its store: 1 for well.
    async fn up(&self, up: f64) {
        for replica in &self.replicas.all {
            let is = async || replica.metric("face_liveness_shared_cache_up").await == up;
            eventually("every replica sees what became of the store", is).await;
        }
    }

    async fn assert_one_reads_for_all(&self) {
        let asked = self.load.further(FEW).await;
        assert_eq!(self.load.reads(&asked), [1; FEW as usize]);
    }

    async fn assert_each_reads_for_itself(&self) {
        let asked = self.load.further(FEW).await;
        assert_eq!(self.load.reads(&asked), [REPLICAS as u64; FEW as usize]);
        self.assert_ready().await;
    }

    async fn assert_ready(&self) {
        for replica in &self.replicas.all {
            assert_eq!(get(replica.admin_address, "/readyz").await.0, 200);
        }
    }

    /// The store is well again, and so is everything else.
    async fn end(self) {
        self.up(1.0).await;
        self.assert_one_reads_for_all().await;
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
    outage.assert_each_reads_for_itself().await;
    outage.replicas.redis.restart();
    outage.end().await;
}

#[tokio::test]
async fn a_paused_redis_neither_fails_nor_delays_calls() {
    let outage = Outage::begin().await;
    outage.replicas.redis.command::<()>(&["CLIENT", "PAUSE", "2000", "ALL"]);
    outage.up(0.0).await;
    outage.assert_each_reads_for_itself().await;
    outage.end().await;
}

#[tokio::test]
async fn a_full_redis_fails_no_call() {
    let outage = Outage::begin().await;
    outage.replicas.redis.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1"]);
    outage.up(0.0).await;
    outage.assert_each_reads_for_itself().await;
    outage.replicas.redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    outage.end().await;
}

#[tokio::test]
async fn a_redis_that_becomes_read_only_fails_no_call() {
    let outage = Outage::begin().await;
    outage.replicas.redis.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    outage.up(0.0).await;
    outage.assert_each_reads_for_itself().await;
    outage.replicas.redis.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    outage.end().await;
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
    // Of others, so that not all that goes is the newest.
    let fill = "for i = 1, 3000 do redis.call('SET', 'other:' .. i, string.rep('x', 400)) end";
    redis.command::<()>(&["EVAL", fill, "0"]);
    let most = number("memory", "used_memory").to_string();
    redis.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", &most]);
    eventually("some are evicted", async || number("stats", "evicted_keys") > 20).await;
    let asked = outage.load.further(FEW).await;
    let reads: u64 = outage.load.reads(&asked).iter().sum();
    assert!(reads < u64::from(FEW) * 2, "{reads} reads");
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    outage.end().await;
}

#[tokio::test]
async fn calls_do_not_contact_a_redis_that_is_down() {
    let mut outage = Outage::begin().await;
    outage.replicas.redis.kill();
    outage.up(0.0).await;
    let replica = &outage.replicas.all[0];
    let asked = async || {
        let outcomes = ["ok", "timeout", "lost"];
        let mut count = 0.0;
        for outcome in outcomes {
            let series =
                format!(r#"face_liveness_shared_cache_operations_total{{operation="lookup",outcome="{outcome}"}}"#);
            count += replica.metric(&series).await;
        }
        count
    };
    let (before, since) = (asked().await, Instant::now());
    outage.load.further(FEW).await;
    assert_eq!(asked().await, before, "it was asked after {:?}", since.elapsed());
}
