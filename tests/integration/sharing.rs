//! Many callers, one read.

use crate::facade::{Facade, eventually, id, request};
use face_liveness_facade::{
    proto::Source,
    simulator::{FaultKind, Pace, Session, Status},
};
use tokio::task::JoinSet;

/// A session whose every read takes so long that all callers come while it is under way.
async fn slow_facade() -> Facade {
    let facade = Facade::start(&[]).await;
    facade.place(Session { pace: Pace::Frozen(Status::Succeeded), ..Session::new(id(1)) });
    facade.fault(FaultKind::Latency { ms: 1_000 });
    facade
}

#[tokio::test]
async fn callers_who_ask_at_once_share_one_read() {
    let facade = slow_facade().await;
    let client = facade.client().await;
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let mut client = client.clone();
        callers.spawn(async move { client.get_liveness_result(request(&id(1))).await });
    }
    let mut read_times = Vec::new();
    while let Some(response) = callers.join_next().await {
        let response = response.expect("no caller panics").expect("an answer").into_inner();
        assert_eq!(response.source(), Source::Upstream);
        read_times.push(response.read_time);
    }
    read_times.dedup();
    assert_eq!(read_times.len(), 1, "all have the answer of one read");
    assert_eq!(facade.simulator.reads(), 1);
}

#[tokio::test]
async fn a_caller_who_leaves_neither_cancels_the_read_nor_repeats_it() {
    let facade = slow_facade().await;
    let mut client = facade.client().await;
    let leaver = tokio::spawn(async move { client.get_liveness_result(request(&id(1))).await });
    eventually("the read is under way", async || facade.simulator.reads() == 1).await;
    leaver.abort();
    assert!(leaver.await.expect_err("it left").is_cancelled());
    facade.get(&id(1)).await.expect("an answer");
    assert_eq!(facade.simulator.reads(), 1);
}

#[tokio::test]
async fn a_read_that_nobody_awaits_any_more_still_fills_the_cache() {
    let facade = slow_facade().await;
    let mut client = facade.client().await;
    let leaver = tokio::spawn(async move { client.get_liveness_result(request(&id(1))).await });
    eventually("the read is under way", async || facade.simulator.reads() == 1).await;
    leaver.abort();
    eventually("the result is held", async || facade.get(&id(1)).await.expect("an answer").source() == Source::Cache)
        .await;
    assert_eq!(facade.simulator.reads(), 1);
}
