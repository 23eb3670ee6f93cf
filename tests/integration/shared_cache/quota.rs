//! One quota for all replicas.

use super::Replicas;
use crate::{
    facade::{Facade, eventually, id, reason, request},
    redis::Redis,
};
use face_liveness_facade::{
    proto::GetLivenessResultResponse,
    simulator::{self, ImageStore, Session},
};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::{Request, Status};

const REPLICAS: usize = 5;
const QUOTA: u32 = 25;

async fn replicas() -> Replicas {
    let config = simulator::Config { quota_tps: QUOTA, ..Default::default() };
    let flags = ["--quota-tps", "25", "--quota-replicas", "5", "--shared-cache-timeout", "500ms"];
    let replicas = Replicas::with(REPLICAS, &flags, config, Redis::start().ready()).await;
    for number in 1..=1_000 {
        let images = ImageStore::S3 { bucket: "faces".into(), prefix: String::new(), version: None };
        replicas.simulator.place(Session { images, ..super::succeeded(id(number)) });
    }
    replicas
}

type Calls = JoinSet<(Duration, Result<GetLivenessResultResponse, Status>)>;

/// Starts one call per session at once, spread over the replicas. Returns each with its duration.
async fn call_at_once(replicas: &[Facade], sessions: std::ops::Range<u32>, timeout: Duration) -> Calls {
    let mut clients = Vec::new();
    for replica in replicas {
        clients.push(replica.client().await);
    }
    let mut calls = JoinSet::new();
    for (number, client) in sessions.zip(clients.iter().cycle()) {
        let mut client = client.clone();
        let mut request = Request::new(request(&id(number)));
        request.set_timeout(timeout);
        calls.spawn(async move {
            let started = Instant::now();
            let response = client.get_liveness_result(request).await;
            (started.elapsed(), response.map(tonic::Response::into_inner))
        });
    }
    calls
}

#[tokio::test]
async fn five_replicas_share_one_quota_and_every_first_read_succeeds() {
    let replicas = replicas().await;
    let calls = call_at_once(&replicas.all, 1..61, Duration::from_secs(20)).await;
    for (_, response) in calls.join_all().await {
        response.expect("a response");
    }
    assert_eq!((replicas.simulator.reads(), replicas.simulator.throttled()), (60, 0));
}

#[tokio::test]
async fn one_busy_replica_uses_the_whole_quota_while_the_others_are_idle() {
    let replicas = replicas().await;
    let started = Instant::now();
    for (_, response) in call_at_once(&replicas.all[..1], 1..51, Duration::from_secs(20)).await.join_all().await {
        response.expect("a response");
    }
    // With only its share of 5 per second, it would take nine seconds.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(replicas.simulator.throttled(), 0);
}

#[tokio::test]
async fn without_redis_each_replica_uses_its_share_of_the_quota() {
    let mut replicas = replicas().await;
    replicas.redis.kill();
    for replica in &replicas.all {
        eventually("the shared cache is down", async || replica.metric("face_liveness_shared_cache_up").await == 0.0)
            .await;
    }
    let started = Instant::now();
    for (_, response) in call_at_once(&replicas.all, 1..41, Duration::from_secs(20)).await.join_all().await {
        response.expect("a response");
    }
    // Each replica reads eight: two from its burst, and six at 5 per second.
    assert!(started.elapsed() > Duration::from_millis(1_000), "{:?}", started.elapsed());
    assert_eq!((replicas.simulator.reads(), replicas.simulator.throttled()), (40, 0));
}

#[tokio::test]
async fn calls_beyond_the_queue_are_rejected_at_once_with_a_retry_delay() {
    let replicas = replicas().await;
    // The replica first learns the rate of its reservations.
    call_at_once(&replicas.all[..1], 1..11, Duration::from_secs(20)).await.join_all().await;
    let calls = call_at_once(&replicas.all[..1], 11..211, Duration::from_secs(3)).await.join_all().await;
    let exhausted: Vec<_> = calls
        .iter()
        .filter_map(|(took, response)| Some((took, response.as_ref().err()?)))
        .filter(|(_, status)| reason(status) == "QUOTA_EXHAUSTED")
        .collect();
    assert!(exhausted.len() > 50, "{} of 200", exhausted.len());
    for (took, status) in exhausted {
        assert!(*took < Duration::from_secs(1), "{took:?}");
        let delay = tonic_types::StatusExt::get_details_retry_info(status).and_then(|info| info.retry_delay);
        assert!(delay.is_some_and(|delay| !delay.is_zero()), "{status:?}");
    }
    assert_eq!(replicas.simulator.throttled(), 0);
}
