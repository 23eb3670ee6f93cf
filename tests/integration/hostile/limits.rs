//! The limits on requests and connections.

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

/// How long immediate rejections may take on a busy machine.
const IMMEDIATE: Duration = Duration::from_secs(4);

fn assert_overloaded(status: &tonic::Status) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::ResourceExhausted, "OVERLOADED"), "{status:?}");
    assert!(status.get_error_details().retry_info().is_some(), "a retry can succeed");
}

#[tokio::test]
async fn requests_above_the_limit_are_rejected_at_once_and_health_checks_pass() {
    let target = Target::start(&["--max-requests", "5"]).await;
    target.simulator.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(2)) });
    let waiting = GetLivenessResultRequest { wait: Some(MINUTE), ..request(&id(2)) };
    let (waiting_client, mut waiters) = (target.client().await, JoinSet::new());
    for _ in 0..5 {
        let (mut client, waiting) = (waiting_client.clone(), waiting.clone());
        waiters.spawn(async move { client.get_liveness_result(waiting).await.map(drop) });
    }
    let in_flight = async || target.metric("face_liveness_requests_in_flight").await;
    eventually("all requests are in flight", async || in_flight().await == 5).await;
    let (mut other, mut health) = (target.client().await, HealthClient::new(target.channel().await));
    let started = Instant::now();
    for _ in 0..100 {
        assert_overloaded(&other.get_liveness_result(request(&id(1))).await.expect_err("above the limit"));
        health.check(HealthCheckRequest::default()).await.expect("a health check succeeds");
    }
    assert!(started.elapsed() < IMMEDIATE, "{:?}", started.elapsed());
    waiters.shutdown().await;
    eventually("no request is in flight", async || in_flight().await == 0).await;
    other.get_liveness_result(request(&id(1))).await.expect("below the limit");
}

#[tokio::test]
async fn connections_above_the_limit_are_rejected_and_above_the_hard_limit_closed() {
    let target = Target::start(&["--max-connections", "3"]).await;
    eventually("no client is connected", async || target.connections().await == 0).await;
    let mut served = Vec::new();
    for _ in 0..3 {
        let mut client = target.client().await;
        client.get_liveness_result(request(&id(1))).await.expect("below the limit");
        served.push(client);
    }
    let mut above = target.client().await;
    assert_overloaded(&above.get_liveness_result(request(&id(1))).await.expect_err("above the limit"));
    // The hard limit is 16 more than the limit and its tenth.
    let mut silent = Vec::new();
    for _ in 4..19 {
        silent.push(target.tcp().await);
    }
    eventually("all connections are open", async || target.connections().await == 19).await;
    for _ in 0..100 {
        let mut closed = target.tcp().await;
        tokio::time::timeout(IMMEDIATE, closed.read_to_end(&mut Vec::new()))
            .await
            .expect("the connection is closed at once")
            .ok();
    }
    assert_eq!(target.metric(r#"face_liveness_connections_closed_total{reason="limit"}"#).await, 100);
    for client in &mut served {
        client.get_liveness_result(request(&id(1))).await.expect("these connections are below the limit");
    }
    drop((silent, served));
    eventually("one connection is left", async || target.connections().await == 1).await;
    above.get_liveness_result(request(&id(1))).await.expect("a response on the same connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_waits_on_one_connection_run_at_once_and_all_complete() {
    const CALLS: u64 = 2_000;
    let target = Target::start(&[]).await;
    target.simulator.place(Session { pace: Pace::Frozen(Status::InProgress), ..Session::new(id(2)) });
    let (client, mut waiters) = (target.client().await, JoinSet::new());
    for _ in 0..CALLS {
        let mut client = client.clone();
        let waiting = GetLivenessResultRequest { wait: Some(MINUTE), ..request(&id(2)) };
        waiters.spawn(async move { client.get_liveness_result(waiting).await.map(drop) });
    }
    eventually("all calls wait", async || target.in_flight().await == CALLS).await;
    target.simulator.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(2)) });
    for response in waiters.join_all().await {
        response.expect("a response");
    }
}
