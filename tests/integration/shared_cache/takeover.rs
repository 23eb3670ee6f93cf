//! When the replica that polls a session fails, another one takes over.

use super::{Replicas, proxy::RedisProxy};
use crate::{
    admin::{get, value},
    facade::{eventually, id, reason, request},
    program::{Running, aws, serve},
};
use face_liveness_facade::{
    proto::{GetLivenessResultRequest, Source, face_liveness_service_client::FaceLivenessServiceClient},
    simulator::{Fault, FaultKind, Pace, Session, Simulator, Status},
};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The documented time until another replica takes over, and an allowance for a busy machine.
const TAKEOVER: Duration = Duration::from_secs(2);
const ALLOWANCE: Duration = Duration::from_secs(1);

const READS: &str = r#"face_liveness_upstream_reads_total{outcome="OK"}"#;

async fn reads(admin_address: impl ToString) -> f64 {
    value(&get(admin_address.to_string(), "/metrics").await.1, READS)
}

/// Starts calls that wait for the final result of session 1, one at each address.
async fn wait_at(addresses: impl IntoIterator<Item = String>) -> JoinSet<Result<Source, tonic::Status>> {
    let mut waits = JoinSet::new();
    for address in addresses {
        let mut client = FaceLivenessServiceClient::connect(format!("http://{address}")).await.expect("it listens");
        let wait = Some(prost_types::Duration { seconds: 30, nanos: 0 });
        let request = GetLivenessResultRequest { wait, ..request(&id(1)) };
        waits.spawn(
            async move { client.get_liveness_result(request).await.map(|response| response.get_ref().source()) },
        );
    }
    waits
}

/// Returns the index of the replica that polls session 1.
async fn polling_replica(admin_addresses: [String; 2]) -> usize {
    let before = [reads(&admin_addresses[0]).await, reads(&admin_addresses[1]).await];
    for _ in 0..1_000 {
        for (index, address) in admin_addresses.iter().enumerate() {
            if reads(address).await > before[index] + 2.0 {
                return index;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no replica polls");
}

/// Asserts that this replica starts to read in time.
async fn assert_takes_over(admin_address: impl ToString) {
    let (since, before) = (Instant::now(), reads(admin_address.to_string()).await);
    eventually("another replica takes over", async || reads(admin_address.to_string()).await > before).await;
    assert!(since.elapsed() < TAKEOVER + ALLOWANCE, "taken over after {:?}", since.elapsed());
}

/// Makes session 1 pending.
fn set_pending(simulator: &Simulator) {
    simulator.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(1)) });
}

/// Makes session 1 succeed.
fn set_succeeded(simulator: &Simulator) {
    simulator.place(super::succeeded(id(1)));
}

/// Starts a program that uses the Redis of these replicas.
fn program(replicas: &Replicas) -> Running {
    let key = replicas.redis.folder.join("key").display().to_string();
    let flags = ["--shared-cache-url", &replicas.redis.url(), "--shared-cache-key-file", &key];
    serve(&[&flags[..], &["--shared-cache-timeout", "500ms"]].concat(), &aws(&replicas.endpoint))
}

async fn two_programs(replicas: &Replicas) -> [Running; 2] {
    let programs = [program(replicas), program(replicas)];
    for program in &programs {
        eventually("it is ready", async || get(&program.admin_address, "/readyz").await.0 == 200).await;
    }
    programs
}

#[tokio::test]
async fn when_the_polling_replica_is_killed_another_takes_over_within_two_seconds() {
    let replicas = Replicas::start(0, &[]).await;
    set_pending(&replicas.simulator);
    let programs = two_programs(&replicas).await;
    let mut waits = wait_at(programs.iter().map(|program| program.address.clone())).await;
    let polling = polling_replica(programs.each_ref().map(|program| program.admin_address.clone())).await;
    programs[polling].send_signal("KILL");
    assert_takes_over(&programs[1 - polling].admin_address).await;
    set_succeeded(&replicas.simulator);
    let mut responses = Vec::new();
    while let Some(response) = waits.join_next().await {
        responses.push(response.expect("no caller panics"));
    }
    assert_eq!(
        responses.iter().filter(|response| response.is_ok()).count(),
        1,
        "only the caller of the killed replica gets no response"
    );
}

#[tokio::test]
async fn when_the_polling_replica_shuts_down_another_takes_over_and_no_wait_fails() {
    let mut replicas = Replicas::start(2, &[]).await;
    set_pending(&replicas.simulator);
    let mut waits = wait_at(replicas.all.iter().map(|replica| replica.address.to_string())).await;
    let addresses = [0, 1].map(|index: usize| replicas.all[index].admin_address.to_string());
    let polling = polling_replica(addresses.clone()).await;
    let mut stopped = replicas.all.remove(polling);
    tokio::join!(assert_takes_over(&addresses[1 - polling]), stopped.stop());
    set_succeeded(&replicas.simulator);
    while let Some(response) = waits.join_next().await {
        response.expect("no caller panics").expect("a response");
    }
}

#[tokio::test]
async fn when_the_polling_replica_loses_redis_another_takes_over_and_both_respond() {
    let mut replicas = Replicas::start(0, &[]).await;
    set_pending(&replicas.simulator);
    let proxy = RedisProxy::start(replicas.redis.port).await;
    replicas.add(&["--shared-cache-url", &proxy.url]).await;
    let mut waits = wait_at([replicas.all[0].address.to_string()]).await;
    eventually("it polls", async || replicas.simulator.reads_of(&id(1)) > 0).await;
    replicas.add(&[]).await;
    let mut follower = wait_at([replicas.all[1].address.to_string()]).await;
    let addresses = [0, 1].map(|index: usize| replicas.all[index].admin_address.to_string());
    drop(proxy);
    assert_takes_over(&addresses[1]).await;
    set_succeeded(&replicas.simulator);
    for response in [waits.join_next().await, follower.join_next().await].into_iter().flatten() {
        response.expect("no caller panics").expect("a response");
    }
}

#[tokio::test]
async fn an_abandoned_session_is_captured_after_its_polling_replica_is_killed() {
    let replicas = Replicas::start(0, &[]).await;
    set_pending(&replicas.simulator);
    let programs = two_programs(&replicas).await;
    for program in &programs {
        let mut client = program.client().await;
        client.get_liveness_result(request(&id(1))).await.expect("a status");
    }
    set_succeeded(&replicas.simulator);
    // The first program has the lease.
    programs[0].send_signal("KILL");
    let is_cached = || !replicas.redis.command::<Vec<String>>(&["KEYS", "*:result"]).is_empty();
    eventually("its final result is captured", async || is_cached()).await;
}

#[tokio::test]
async fn an_aws_failure_is_returned_by_every_replica() {
    let replicas = Replicas::start(3, &[]).await;
    let code = "InternalServerError".to_owned();
    replicas.simulator.script(Fault::new(FaultKind::Error { code, status: 500, message: None }));
    replicas.simulator.place(super::succeeded(id(1)));
    let mut calls = JoinSet::new();
    for replica in &replicas.all {
        let mut client = replica.client().await;
        calls.spawn(async move { client.get_liveness_result(request(&id(1))).await });
    }
    while let Some(response) = tokio::time::timeout(Duration::from_secs(9), calls.join_next()).await.expect("in time") {
        let status = response.expect("no caller panics").expect_err("AWS fails");
        assert_eq!(reason(&status), "UPSTREAM_UNAVAILABLE", "{status:?}");
    }
}

#[tokio::test]
async fn not_found_is_read_once_and_returned_by_every_replica() {
    let replicas = Replicas::start(3, &["--not-found-ttl", "10s"]).await;
    for replica in &replicas.all {
        let status = replica.get(&id(1)).await.expect_err("the session is unknown");
        assert_eq!(reason(&status), "SESSION_NOT_FOUND");
    }
    assert_eq!(replicas.simulator.reads(), 1);
}
