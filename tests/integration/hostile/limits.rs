//! Too many requests, and too many connections.

use super::target::Target;
use crate::facade::{eventually, id, reason, request};
use face_liveness_facade::{
    proto::GetLivenessResultRequest,
    simulator::{Pace, Session, Status},
};
use std::time::{Duration, Instant};
use tokio::{io::AsyncReadExt, task::JoinSet};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

const MINUTE: prost_types::Duration = prost_types::Duration { seconds: 60, nanos: 0 };

/// At once, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(4);

fn assert_overloaded(status: &tonic::Status) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::ResourceExhausted, "OVERLOADED"), "{status:?}");
    assert!(status.get_error_details().retry_info().is_some(), "it is worth another try");
}

#[tokio::test]
async fn requests_above_the_limit_are_refused_at_once_and_health_is_answered() {
    let target = Target::start(&["--max-requests", "5"]).await;
    target.simulator.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(2)) });
    let waiting = GetLivenessResultRequest { wait: Some(MINUTE), ..request(&id(2)) };
    let (hog, mut waiters) = (target.client().await, JoinSet::new());
    for _ in 0..5 {
        let (mut client, waiting) = (hog.clone(), waiting.clone());
        waiters.spawn(async move { client.get_liveness_result(waiting).await.map(drop) });
    }
    let in_flight = async || target.metric("face_liveness_requests_in_flight").await;
    eventually("all places are taken", async || in_flight().await == 5).await;
    let (mut other, mut health) = (target.client().await, HealthClient::new(target.channel().await));
    let started = Instant::now();
    for _ in 0..100 {
        assert_overloaded(&other.get_liveness_result(request(&id(1))).await.expect_err("no place"));
        health.check(HealthCheckRequest::default()).await.expect("health is answered");
    }
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    waiters.shutdown().await;
    eventually("all places are free", async || in_flight().await == 0).await;
    other.get_liveness_result(request(&id(1))).await.expect("there is a place");
}

#[tokio::test]
async fn connections_above_the_limit_are_refused_and_far_above_it_closed_until_others_leave() {
    let target = Target::start(&["--max-connections", "3"]).await;
    eventually("nobody is there", async || target.connections().await == 0).await;
    let mut served = Vec::new();
    for _ in 0..3 {
        let mut client = target.client().await;
        client.get_liveness_result(request(&id(1))).await.expect("a place");
        served.push(client);
    }
    let mut above = target.client().await;
    assert_overloaded(&above.get_liveness_result(request(&id(1))).await.expect_err("one too many"));
    // The hard limit is 16 more than the limit and its tenth.
    let mut silent = Vec::new();
    for _ in 4..19 {
        silent.push(target.tcp().await);
    }
    eventually("all places are taken", async || target.connections().await == 19).await;
    for _ in 0..100 {
        let mut closed = target.tcp().await;
        tokio::time::timeout(AT_ONCE, closed.read_to_end(&mut Vec::new())).await.expect("it is closed at once").ok();
    }
    assert_eq!(target.metric(r#"face_liveness_connections_closed_total{reason="limit"}"#).await, 100);
    for client in &mut served {
        client.get_liveness_result(request(&id(1))).await.expect("they came in time");
    }
    drop((silent, served));
    eventually("one is left", async || target.connections().await == 1).await;
    above.get_liveness_result(request(&id(1))).await.expect("an answer on the same connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_waits_on_one_connection_begin_at_once_and_all_are_answered() {
    const CALLS: u64 = 2_000;
    let target = Target::start(&[]).await;
    target.simulator.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(2)) });
    let (client, mut waiters) = (target.client().await, JoinSet::new());
    for _ in 0..CALLS {
        let mut client = client.clone();
        let waiting = GetLivenessResultRequest { wait: Some(MINUTE), ..request(&id(2)) };
        waiters.spawn(async move { client.get_liveness_result(waiting).await.map(drop) });
    }
    eventually("all wait", async || target.in_flight().await == CALLS).await;
    target.simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(2)) });
    for end in waiters.join_all().await {
        end.expect("an answer");
    }
}
